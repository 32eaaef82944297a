/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orleans: the six figures of ../../README.md. One localhost silo in this process, grains calling grains.
 * Arguments are [Immutable], tells are [OneWay], as the manual advises for speed; logging off.
 * Called by ../../run.
 *
 * Invariants: 1. every call allocates its own 64-byte message; 2. at most Window calls are in flight;
 * 3. a round ends when every tell arrived.
 * Threads: grains run on the thread pool; Arrived is shared by interlocked adds.
 */
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Configuration;
using Orleans.Hosting;
using Peers;

string bench = args[0];
int runs = int.Parse(args[1]);
using var host = new HostBuilder()
    .UseOrleans(silo => silo
        .UseLocalhostClustering(siloPort: 0x6f72, gatewayPort: 0x6f73)
        .Configure<SiloMessagingOptions>(options => options.ResponseTimeout = TimeSpan.FromMinutes(5)))
    .ConfigureLogging(logging => logging.ClearProviders())
    .Build();
await host.StartAsync();
var grains = host.Services.GetRequiredService<IGrainFactory>();
Measure.PrintVersion(typeof(Grain));
var driver = grains.GetGrain<IDriver>("driver");

switch (bench)
{
    case "tell_shard":
        await Measure.Rounds(bench, runs, Limits.Window, n => driver.TellOne(n));
        break;
    case "ask_shard":
        await Measure.Rounds(bench, runs, 1000, n => driver.AskOne(n));
        break;
    case "activate":
        await Measure.Activate(1_000_000, (first, count) => driver.Grow(first, count));
        break;
    default:
        int actors = bench == "tell_random_1m" ? 1_000_000 : 100_000;
        await driver.Grow(0, actors);
        await driver.Name(actors);
        await Measure.Rounds(bench, runs, Limits.Window, n => driver.TellRandom(n));
        break;
}
Environment.Exit(0);

static class Limits
{
    public const int Window = 1000;
}

[GenerateSerializer, Immutable]
public sealed class Note
{
    [Id(0)] public long A;
    [Id(1)] public long B;
    [Id(2)] public long C;
    [Id(3)] public long D;
    [Id(4)] public long E;
    [Id(5)] public long F;
    [Id(6)] public long G;
    [Id(7)] public long H;
}

public interface IEntity : IGrainWithStringKey
{
    [OneWay] ValueTask Tell(Note note);
    ValueTask<Note> Ask(Note note);
}

public interface IDriver : IGrainWithStringKey
{
    Task TellOne(long count);
    Task AskOne(long count);
    Task Grow(int first, int count);
    Task Name(int count);
    Task TellRandom(long count);
}

public sealed class Entity : Grain, IEntity
{
    long a, b, c, d;

    public ValueTask Tell(Note note)
    {
        a += note.A;
        (b, c, d) = (a, b, c);
        Arrived.Add();
        return ValueTask.CompletedTask;
    }

    public ValueTask<Note> Ask(Note note) => new(note);
}

public sealed class Driver : Grain, IDriver
{
    string[] names = [];
    Dice dice = new(88172645463325252UL);

    public async Task TellOne(long count)
    {
        var sink = GrainFactory.GetGrain<IEntity>("sink");
        for (; count > 0; count -= Limits.Window)
        {
            Task drained = Drained();
            for (int i = 0; i < Limits.Window; i++)
                _ = sink.Tell(new Note { A = i });
            await drained;
        }
    }

    public async Task AskOne(long count)
    {
        var echo = GrainFactory.GetGrain<IEntity>("echo");
        for (long i = 0; i < count; i++)
            await echo.Ask(new Note { A = i });
    }

    public async Task Grow(int first, int count)
    {
        for (int end = first + count; first < end; first += Limits.Window)
        {
            Task drained = Drained();
            for (int i = 0; i < Limits.Window; i++)
                _ = GrainFactory.GetGrain<IEntity>(Measure.Key(first + i)).Tell(new Note { A = i });
            await drained;
        }
    }

    public Task Name(int count)
    {
        names = Measure.Keys(count);
        return Task.CompletedTask;
    }

    public async Task TellRandom(long count)
    {
        for (; count > 0; count -= Limits.Window)
        {
            Task drained = Drained();
            for (int i = 0; i < Limits.Window; i++)
                _ = GrainFactory.GetGrain<IEntity>(names[dice.Next(names.Length)]).Tell(new Note { A = i });
            await drained;
        }
    }

    static Task Drained()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Arrived.Expect(Limits.Window, done.SetResult);
        return done.Task;
    }
}
