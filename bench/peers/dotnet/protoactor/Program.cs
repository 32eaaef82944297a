/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proto.Actor: the six figures of ../../README.md. In process, no cluster; default mailbox and dispatcher,
 * shared futures for requests. Named actors are found through the process registry by address and id.
 * Called by ../../run.
 *
 * Invariants: 1. every tell allocates its own 64-byte message; 2. at most Window messages are in flight.
 * Threads: actors run on the thread pool; Arrived is shared by interlocked adds.
 */
using Peers;
using Proto;

string bench = args[0];
int runs = int.Parse(args[1]);
var system = new ActorSystem(ActorSystemConfig.Setup().WithSharedFutures());
var root = system.Root;
Measure.PrintVersion(typeof(ActorSystem));

Task Command(PID actor, Func<TaskCompletionSource, object> make)
{
    var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    root.Send(actor, make(done));
    return done.Task;
}

switch (bench)
{
    case "tell_shard":
        var sink = root.Spawn(Props.FromProducer(() => new Sink()));
        var teller = root.Spawn(Props.FromProducer(() => new Teller(sink)));
        await Measure.Rounds(bench, runs, Limits.Window, n => Command(teller, done => new Go(n, done)));
        break;
    case "ask_shard":
        var echo = root.Spawn(Props.FromProducer(() => new Echo()));
        var asker = root.Spawn(Props.FromProducer(() => new Asker(echo)));
        await Measure.Rounds(bench, runs, 1000, n => Command(asker, done => new Go(n, done)));
        break;
    case "activate":
        var nursery = root.Spawn(Props.FromProducer(() => new Nursery(Array.Empty<string>())));
        Task Grow(int first, int count) => Command(nursery, done => new Grow(first, count, done));
        await Measure.Activate(1_000_000, Grow);
        break;
    default:
        int actors = bench == "tell_random_1m" ? 1_000_000 : 100_000;
        var crowd = root.Spawn(Props.FromProducer(() => new Nursery(Measure.Keys(actors))));
        await Command(crowd, done => new Grow(0, actors, done));
        await Measure.Rounds(bench, runs, Limits.Window, n => Command(crowd, done => new Go(n, done)));
        break;
}
Environment.Exit(0);

static class Limits
{
    public const int Window = 1000;
}

sealed record Go(long Count, TaskCompletionSource Done);
sealed record Grow(int First, int Count, TaskCompletionSource Done);
sealed record More;

sealed class Note(long seed)
{
    public readonly long A = seed, B = seed, C = seed, D = seed, E = seed, F = seed, G = seed, H = seed;
}

/* Asks the sink for an answer when the window is through. */
sealed record Mark(PID From);

sealed class Sink : IActor
{
    static readonly More more = new();
    long sum;

    public Task ReceiveAsync(IContext context)
    {
        if (context.Message is Note note)
            sum += note.A;
        else if (context.Message is Mark mark)
            context.Send(mark.From, more);
        return Task.CompletedTask;
    }
}

sealed class Teller(PID sink) : IActor
{
    long left;
    TaskCompletionSource? done;

    public Task ReceiveAsync(IContext context)
    {
        if (context.Message is Go go)
            (left, done) = (go.Count, go.Done);
        else if (context.Message is not More)
            return Task.CompletedTask;
        if (left == 0)
        {
            done!.SetResult();
            return Task.CompletedTask;
        }
        for (int i = 0; i < Limits.Window; i++)
            context.Send(sink, new Note(i));
        context.Send(sink, new Mark(context.Self));
        left -= Limits.Window;
        return Task.CompletedTask;
    }
}

sealed class Echo : IActor
{
    public Task ReceiveAsync(IContext context)
    {
        if (context.Message is Note note)
            context.Respond(note);
        return Task.CompletedTask;
    }
}

sealed class Asker(PID echo) : IActor
{
    public async Task ReceiveAsync(IContext context)
    {
        if (context.Message is not Go go)
            return;
        for (long i = 0; i < go.Count; i++)
            await context.RequestAsync<Note>(echo, new Note(i), CancellationToken.None);
        go.Done.SetResult();
    }
}

sealed class Entity : IActor
{
    long a, b, c, d;

    public Task ReceiveAsync(IContext context)
    {
        if (context.Message is Note note)
        {
            a += note.A;
            (b, c, d) = (a, b, c);
            Arrived.Add();
        }
        return Task.CompletedTask;
    }
}

sealed class Nursery(string[] names) : IActor
{
    static readonly More more = new();
    readonly Props props = Props.FromProducer(() => new Entity());
    Dice dice = new(88172645463325252UL);
    long left;
    int next;
    bool telling;
    TaskCompletionSource? done;

    public Task ReceiveAsync(IContext context)
    {
        if (context.Message is Go go)
            (telling, left, done) = (true, go.Count, go.Done);
        else if (context.Message is Grow grow)
            (telling, next, left, done) = (false, grow.First, grow.Count, grow.Done);
        else if (context.Message is not More)
            return Task.CompletedTask;
        if (left == 0)
        {
            done!.SetResult();
            return Task.CompletedTask;
        }
        PID self = context.Self;
        Arrived.Expect(Limits.Window, () => context.System.Root.Send(self, more));
        left -= Limits.Window;
        for (int i = 0; i < Limits.Window; i++)
            context.Send(Target(context), new Note(i));
        return Task.CompletedTask;
    }

    PID Target(IContext context) =>
        telling
            ? PID.FromAddress(context.System.Address, names[dice.Next(names.Length)])
            : context.System.Root.SpawnNamed(props, Measure.Key(next++));
}
