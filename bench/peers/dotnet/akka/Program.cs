/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Akka.NET: the six figures of ../../README.md. UntypedActor (the fast base class), default dispatcher
 * with throughput 100, logging off. Named actors are children of one parent, found by Context.Child(name):
 * the "child per entity" pattern of Akka's manual. Called by ../../run.
 *
 * Invariants: 1. every tell allocates its own 64-byte message; 2. at most Window messages are in flight.
 * Threads: actors run on the thread pool; Arrived is shared by interlocked adds.
 */
using Akka.Actor;
using Akka.Configuration;
using Peers;

const string Settings = """
    akka {
      loglevel = OFF
      stdout-loglevel = OFF
      log-dead-letters = off
      actor.default-dispatcher.throughput = 100
    }
    """;

string bench = args[0];
int runs = int.Parse(args[1]);
var system = ActorSystem.Create("peers", ConfigurationFactory.ParseString(Settings));
Measure.PrintVersion(typeof(ActorSystem));

Task Command(IActorRef actor, Func<TaskCompletionSource, object> make)
{
    var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    actor.Tell(make(done));
    return done.Task;
}

switch (bench)
{
    case "tell_shard":
        var sink = system.ActorOf(Props.Create(() => new Sink()));
        var teller = system.ActorOf(Props.Create(() => new Teller(sink)));
        await Measure.Rounds(bench, runs, Limits.Window, n => Command(teller, done => new Go(0, n, done)));
        break;
    case "ask_shard":
        var echo = system.ActorOf(Props.Create(() => new Echo()));
        var asker = system.ActorOf(Props.Create(() => new Asker(echo)));
        await Measure.Rounds(bench, runs, 1000, n => Command(asker, done => new Go(0, n, done)));
        break;
    case "activate":
        var nursery = system.ActorOf(Props.Create(() => new Nursery(Array.Empty<string>())));
        Task Grow(int first, int count) => Command(nursery, done => new Grow(first, count, done));
        await Measure.Activate(1_000_000, Grow);
        break;
    default:
        int actors = bench == "tell_random_1m" ? 1_000_000 : 100_000;
        var crowd = system.ActorOf(Props.Create(() => new Nursery(Measure.Keys(actors))));
        await Command(crowd, done => new Grow(0, actors, done));
        await Measure.Rounds(bench, runs, Limits.Window, n => Command(crowd, done => new Go(0, n, done)));
        break;
}
Environment.Exit(0);

static class Limits
{
    public const int Window = 1000;
}

sealed record Go(int First, long Count, TaskCompletionSource Done);
sealed record Grow(int First, int Count, TaskCompletionSource Done);
sealed record More;

sealed class Note(long seed)
{
    public readonly long A = seed, B = seed, C = seed, D = seed, E = seed, F = seed, G = seed, H = seed;
}

sealed class Sink : UntypedActor
{
    static readonly More more = new();
    long sum;
    int seen;

    protected override void OnReceive(object message)
    {
        sum += ((Note)message).A;
        if (++seen == Limits.Window)
        {
            seen = 0;
            Sender.Tell(more);
        }
    }
}

sealed class Teller(IActorRef sink) : UntypedActor
{
    long left;
    TaskCompletionSource? done;

    protected override void OnReceive(object message)
    {
        if (message is Go go)
            (left, done) = (go.Count, go.Done);
        if (left == 0)
        {
            done!.SetResult();
            return;
        }
        for (int i = 0; i < Limits.Window; i++)
            sink.Tell(new Note(i), Self);
        left -= Limits.Window;
    }
}

sealed class Echo : UntypedActor
{
    protected override void OnReceive(object message) => Sender.Tell(message, Self);
}

sealed class Asker : ReceiveActor
{
    public Asker(IActorRef echo)
    {
        ReceiveAsync<Go>(async go =>
        {
            for (long i = 0; i < go.Count; i++)
                await echo.Ask<Note>(new Note(i));
            go.Done.SetResult();
        });
    }
}

sealed class Entity : UntypedActor
{
    long a, b, c, d;

    protected override void OnReceive(object message)
    {
        a += ((Note)message).A;
        (b, c, d) = (a, b, c);
        Arrived.Add();
    }
}

sealed class EntityMaker : IIndirectActorProducer
{
    public ActorBase Produce() => new Entity();
    public Type ActorType => typeof(Entity);
    public void Release(ActorBase actor) { }
}

sealed class Nursery(string[] names) : UntypedActor
{
    static readonly More more = new();
    readonly Props props = Props.CreateBy(new EntityMaker());
    Dice dice = new(88172645463325252UL);
    long left;
    int next;
    bool telling;
    TaskCompletionSource? done;

    protected override void OnReceive(object message)
    {
        if (message is Go go)
            (telling, left, done) = (true, go.Count, go.Done);
        else if (message is Grow grow)
            (telling, next, left, done) = (false, grow.First, grow.Count, grow.Done);
        if (left == 0)
        {
            done!.SetResult();
            return;
        }
        IActorRef self = Self;
        Arrived.Expect(Limits.Window, () => self.Tell(more));
        left -= Limits.Window;
        for (int i = 0; i < Limits.Window; i++)
            Target().Tell(new Note(i), self);
    }

    IActorRef Target() =>
        telling ? Context.Child(names[dice.Next(names.Length)]) : Context.ActorOf(props, Measure.Key(next++));
}
