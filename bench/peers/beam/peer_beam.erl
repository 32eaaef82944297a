%% SPDX-License-Identifier: Apache-2.0
%%
%% BEAM: the six figures of ../README.md. Tells are `!` between plain processes (gen_server:cast is printed
%% too, as tell_cast), asks are gen_server:call, names live in an ets table with read_concurrency.
%% Called by ../run as `erl +S 1:1 ... -run peer_beam main BENCH RUNS`.
%%
%% Invariants: 1. payloads are 64-byte heap binaries, so each send copies them; 2. at most ?WINDOW messages
%% are in flight; 3. a round ends when every message was handled.
%% Processes: one driver (this one), the measured actors, a counters array shared by all.
-module(peer_beam).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2, idle/2]).

-define(WINDOW, 1000).
-define(WARM_MS, 3000).
-define(WARM_ACTORS, 100000).
-define(ACTORS, 1000000).
-define(TABLE, peer_names).

main([Bench, Runs]) ->
    io:format("VERSION OTP ~s, ERTS ~s, ~s~n",
              [erlang:system_info(otp_release), erlang:system_info(version),
               erlang:system_info(emu_flavor)]),
    ets:new(?TABLE, [named_table, public, set, {read_concurrency, true}]),
    %% The driver is a fresh process: the one that -run starts holds the group leader's links.
    {_, Ref} = spawn_opt(fun() -> bench(Bench, list_to_integer(Runs)) end,
                         [monitor, {min_heap_size, 50000}]),
    receive {'DOWN', Ref, process, _, Why} -> halt(case Why of normal -> 0; _ -> 1 end) end.

bench("tell_shard", Runs) ->
    Me = self(),
    Sink = spawn(fun() -> sink(Me, 0, 0) end),
    rounds("tell_shard", Runs, ?WINDOW, fun(N) -> tell(Sink, N, payload(7)) end),
    {ok, Server} = gen_server:start(?MODULE, self(), []),
    rounds("tell_cast", Runs, ?WINDOW, fun(N) -> cast(Server, N, payload(7)) end);
bench("ask_shard", Runs) ->
    {ok, Server} = gen_server:start(?MODULE, self(), []),
    rounds("ask_shard", Runs, 1000, fun(N) -> ask(Server, N, payload(7)) end);
bench("activate", _) ->
    Done = counters:new(1, []),
    Names = names(?WARM_ACTORS + ?ACTORS),
    Key = fun(I) -> element(I + 1, Names) end,
    grow(0, ?WARM_ACTORS, Done, fun actor/2, Key),
    Us = microseconds(fun() -> grow(?WARM_ACTORS, ?ACTORS, Done, fun actor/2, Key) end),
    result("activate", ?ACTORS * 1.0e6 / Us, "ops/s");
bench("idle_bytes", _) ->
    Done = counters:new(1, []),
    grow(0, ?WARM_ACTORS, Done, fun sleeper/2, fun key/1),
    Before = resident(),
    grow(?WARM_ACTORS, ?ACTORS, Done, fun sleeper/2, fun key/1),
    timer:sleep(1000),
    result("idle_bytes", (resident() - Before) / ?ACTORS, "bytes");
bench(Bench, Runs) ->
    Actors = case Bench of "tell_random_100k" -> 100000; "tell_random_1m" -> 1000000 end,
    Done = counters:new(1, []),
    grow(0, Actors, Done, fun actor/2, fun key/1),
    Names = names(Actors),
    rounds(Bench, Runs, ?WINDOW, fun(N) -> tell_random(Names, Done, N, payload(7), 88172645463325252) end).

%% --- tell ---------------------------------------------------------------------------------------

tell(_, 0, _) -> ok;
tell(Sink, N, Payload) ->
    burst(Sink, ?WINDOW, Payload),
    receive more -> tell(Sink, N - ?WINDOW, Payload) end.

burst(_, 0, _) -> ok;
burst(Sink, N, Payload) ->
    Sink ! {tell, Payload},
    burst(Sink, N - 1, Payload).

sink(To, ?WINDOW, Sum) ->
    To ! more,
    sink(To, 0, Sum);
sink(To, Seen, Sum) ->
    receive {tell, <<A:64, _:56/binary>>} -> sink(To, Seen + 1, (Sum + A) band 16#ffffffff) end.

cast(_, 0, _) -> ok;
cast(Server, N, Payload) ->
    cast_burst(Server, ?WINDOW, Payload),
    receive more -> cast(Server, N - ?WINDOW, Payload) end.

cast_burst(_, 0, _) -> ok;
cast_burst(Server, N, Payload) ->
    gen_server:cast(Server, {tell, Payload}),
    cast_burst(Server, N - 1, Payload).

ask(_, 0, _) -> ok;
ask(Server, N, Payload) ->
    Payload = gen_server:call(Server, Payload, infinity),
    ask(Server, N - 1, Payload).

init(To) -> {ok, {To, 0, 0}}.

handle_call(Payload, _, State) -> {reply, Payload, State}.

handle_cast({tell, <<A:64, _:56/binary>>}, {To, Seen, Sum}) ->
    Next = case Seen + 1 of ?WINDOW -> To ! more, 0; Some -> Some end,
    {noreply, {To, Next, (Sum + A) band 16#ffffffff}}.

%% --- many actors --------------------------------------------------------------------------------

%% Spawns `Count` actors under their names, each with its first message, and waits until all handled it.
grow(First, Count, Done, Start, Key) ->
    Target = counters:get(Done, 1) + Count,
    grow_some(First, First + Count, Done, Start, Key, payload(7)),
    drained(Done, Target).

grow_some(End, End, _, _, _, _) -> ok;
grow_some(I, End, Done, Start, Key, Payload) ->
    Pid = spawn(fun() -> Start({0, 0, 0, 0}, Done) end),
    ets:insert(?TABLE, {Key(I), Pid}),
    Pid ! {tell, Payload},
    (I + 1) rem ?WINDOW =:= 0 andalso erlang:yield(),
    grow_some(I + 1, End, Done, Start, Key, Payload).

actor(State, Done) ->
    receive {tell, Payload} -> actor(handle(State, Payload, Done), Done) end.

%% As actor/2, but its heap is shrunk while it waits: the manual's advice for idle processes.
sleeper(State, Done) -> erlang:hibernate(?MODULE, idle, [State, Done]).

idle(State, Done) ->
    receive {tell, Payload} -> sleeper(handle(State, Payload, Done), Done) end.

%% State: four words, 32 bytes, beside the tuple's header.
handle({A, B, C, _}, <<N:64, _:56/binary>>, Done) ->
    counters:add(Done, 1, 1),
    {(A + N) band 16#ffffffff, A, B, C}.

drained(Done, Target) ->
    case counters:get(Done, 1) of
        Target -> ok;
        _ -> erlang:yield(), drained(Done, Target)
    end.

tell_random(Names, Done, N, Payload, Seed) ->
    tell_random(Names, tuple_size(Names), Done, counters:get(Done, 1), N, Payload, Seed).

tell_random(_, _, _, _, 0, _, _) -> ok;
tell_random(Names, Size, Done, Sent, N, Payload, Seed) ->
    Next = random_burst(Names, Size, ?WINDOW, Payload, Seed),
    drained(Done, Sent + ?WINDOW),
    tell_random(Names, Size, Done, Sent + ?WINDOW, N - ?WINDOW, Payload, Next).

random_burst(_, _, 0, _, Seed) -> Seed;
random_burst(Names, Size, N, Payload, Seed) ->
    Next = dice(Seed),
    [{_, Pid}] = ets:lookup(?TABLE, element(Next rem Size + 1, Names)),
    Pid ! {tell, Payload},
    random_burst(Names, Size, N - 1, Payload, Next).

%% xorshift in 58 bits: stays a small integer, as rand's own generators do.
dice(S0) ->
    S1 = (S0 bxor (S0 bsl 13)) band 16#3ffffffffffffff,
    S2 = S1 bxor (S1 bsr 7),
    (S2 bxor (S2 bsl 17)) band 16#3ffffffffffffff.

%% --- measuring ----------------------------------------------------------------------------------

payload(N) -> <<N:64, 0:448>>.

%% 16 bytes, the same for every peer.
key(I) -> iolist_to_binary(io_lib:format("user-~11..0b", [I])).

%% A literal: a million names on the driver's own heap would be its garbage collector's work.
names(Count) ->
    persistent_term:put(?TABLE, list_to_tuple([key(I) || I <- lists:seq(0, Count - 1)])),
    persistent_term:get(?TABLE).

rounds(Name, Runs, Grain, Work) ->
    Rate = warm(Grain, Grain, Work, erlang:monotonic_time(millisecond) + ?WARM_MS),
    N = max(1, trunc(Rate) div Grain) * Grain,
    [result(Name, N * 1.0e6 / microseconds(fun() -> Work(N) end), "ops/s") || _ <- lists:seq(1, Runs)],
    ok.

warm(N, Grain, Work, Until) ->
    Rate = N * 1.0e6 / max(1, microseconds(fun() -> Work(N) end)),
    case erlang:monotonic_time(millisecond) < Until of
        true -> warm(max(1, trunc(Rate / 4) div Grain) * Grain, Grain, Work, Until);
        false -> Rate
    end.

microseconds(Work) ->
    From = erlang:monotonic_time(microsecond),
    Work(),
    erlang:monotonic_time(microsecond) - From.

result(Name, Value, Unit) -> io:format("RESULT ~s ~.1f ~s~n", [Name, Value * 1.0, Unit]).

resident() ->
    [erlang:garbage_collect(P) || P <- [self()]],
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:split(Text, " ", all),
    binary_to_integer(Pages) * 4096.
