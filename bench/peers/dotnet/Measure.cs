/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clock, warm-up, memory reading and output for the .NET peers. Not a benchmark framework: each peer
 * hands in "do n operations", this file says how often and prints the figure. Called by the three
 * Program.cs beside it.
 *
 * Invariants: 1. no round is printed before WarmSeconds of the same work ran, so tier-1 code with its
 * profile is in place; 2. a printed round lasts about RoundSeconds; 3. output lines are
 * "RESULT name value unit", read by ../run.
 * Threads: one driver at a time.
 */
using System.Diagnostics;
using System.Globalization;
using System.Reflection;

namespace Peers;

public static class Measure
{
    /* Three seconds are too few: on one core Orleans' code reaches its last tier after about eight (4 x the rate). */
    const double WarmSeconds = 10.0;
    const double RoundSeconds = 1.0;
    const int WarmActors = 500_000;
    const int WarmStep = 50_000;

    /* Runs `work(n)` until warm, then prints `runs` rounds; n is a multiple of `grain`. */
    public static async Task Rounds(string name, int runs, long grain, Func<long, Task> work)
    {
        long n = grain;
        double rate = 1;
        var warm = Stopwatch.StartNew();
        while (warm.Elapsed.TotalSeconds < WarmSeconds)
        {
            var once = Stopwatch.StartNew();
            await work(n);
            rate = n / once.Elapsed.TotalSeconds;
            n = RoundTo(rate * RoundSeconds / 4, grain);
        }
        n = RoundTo(rate * RoundSeconds, grain);
        for (int i = 0; i < runs; i++)
        {
            GC.Collect();
            var once = Stopwatch.StartNew();
            await work(n);
            Print(name, n / once.Elapsed.TotalSeconds, "ops/s");
        }
    }

    static long RoundTo(double n, long grain) => Math.Max(1, (long)(n / grain)) * grain;

    /*
     * New actors per second and the resident bytes each adds, in one process, after WarmSeconds or
     * WarmActors of the same, whichever comes first. Names are made on the way, since they are part of the bytes.
     */
    public static async Task Activate(int count, Func<int, int, Task> work)
    {
        int first = 0;
        for (var warm = Stopwatch.StartNew(); first < WarmActors && warm.Elapsed.TotalSeconds < WarmSeconds;)
        {
            await work(first, WarmStep);
            first += WarmStep;
        }
        long before = Resident();
        var once = Stopwatch.StartNew();
        await work(first, count);
        Print("activate", count / once.Elapsed.TotalSeconds, "ops/s");
        await Task.Delay(500);
        Print("idle_bytes", (Resident() - before) / (double)count, "bytes");
    }

    static long Resident()
    {
        for (int i = 0; i < 3; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }
        string pages = File.ReadAllText("/proc/self/statm").Split(' ')[1];
        return long.Parse(pages, CultureInfo.InvariantCulture) * Environment.SystemPageSize;
    }

    public static void Print(string name, double value, string unit) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"RESULT {name} {value:F1} {unit}"));

    public static void PrintVersion(Type type)
    {
        var tag = type.Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>();
        string text = tag?.InformationalVersion ?? type.Assembly.GetName().Version!.ToString();
        Console.WriteLine($"VERSION {text.Split('+', ' ')[0].TrimEnd('.')} on .NET {Environment.Version}");
    }

    /* 16 characters, the same for every peer. */
    public static string Key(int i) => "user-" + i.ToString("D11", CultureInfo.InvariantCulture);

    public static string[] Keys(int count) => Enumerable.Range(0, count).Select(Key).ToArray();
}

/* Counts what arrived and calls back at a given count: senders keep a bounded number in flight without polling. */
public static class Arrived
{
    static long count;
    static long target = -1;
    static Action reached = () => { };

    /* Before the sends: `then` runs once `more` further messages arrived, in the turn of the last. */
    public static void Expect(long more, Action then)
    {
        reached = then;
        Volatile.Write(ref target, Interlocked.Read(ref count) + more);
    }

    public static void Add()
    {
        if (Interlocked.Increment(ref count) == Volatile.Read(ref target))
            reached();
    }
}

/* xorshift64*: uniform choice of the next actor without a library's call. */
public struct Dice
{
    ulong state;

    public Dice(ulong seed) => state = seed;

    public int Next(int limit)
    {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return (int)((state * 2685821657736338717UL >> 32) * (ulong)limit >> 32);
    }
}
