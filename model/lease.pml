/* SPDX-License-Identifier: Apache-2.0 */
/* Leases, views, writer rows and unknown outcomes (PROTOCOLS.md sections 1 and 3), as a Promela model.
 *
 * One actor; N processes that may own it and observe one another; a peer that applies the view barrier; an outside
 * caller that applies nothing. Every `atomic` is one step; between two steps a process may stop for any time while
 * the clock goes on (SIGSTOP, a slow disk, a slow link), so each clock reading and the write that rests on it
 * are two steps. Each rule is a macro; -DMUT_<name> takes it out, and SPIN must then find a counterexample.
 *
 *   S1  what a peer or caller accepts was computed while its incarnation owned the actor (S1a), and a peer that knows a newer
 *       view accepts nothing from an incarnation which that view lacks (S1b)
 *   S2  no commit of a former owner is accepted after the new owner has loaded
 *   S3  a suspended, unrevoked node that resumes finds what it left
 *   S4  a turn told DONE is in the store, once and for ever; a turn told NOT_DONE never is
 *   L1  (-DLIVE) if node 0 stays dead, the store is up and clocks matter again, node 1 comes to own the actor
 */
#ifndef N
#define N       2                       /* processes */
#endif
#ifndef NI
#define NI      3                       /* incarnations in all; what exceeds N are restarts */
#endif
#ifndef TURNS
#define TURNS   2                       /* committing turns in all; read-only turns are unlimited */
#endif
#define NV      (2 * NI)                /* views: each incarnation joins once and goes once */
#define NOBODY  NI
#ifdef ONE_WAY
#define observes(i) (i == 1)            /* a smaller world: node 1 observes and keeps its lease; node 0 is paused, cut off, revoked, restarted */
#else
#define observes(i) true
#endif

/* ---- section 1: time. A timer of n ticks of a node's own clock takes n-D .. n+D true ticks. By default the worst of them: a lease
 * as long, a wait as short as the drift allows (a node may always be slower still); -DANY_DRIFT tries both ends for each. ---- */
#define D       1
#ifdef LIVE
#define TTL     3
#else
#define TTL     2
#endif
#ifdef MUT_NO_DRIFT_MARGIN
#define HOLD    TTL
#define WAITFOR TTL
#else
#define HOLD    (TTL - D)               /* "The holder counts ttl * 0.99" */
#define WAITFOR (TTL + D)               /* "has not changed for ttl * 1.01 of its own clock" */
#endif
#if defined(LIVE)
#define hold_for(timer) timer = HOLD
#define wait_for(timer) timer = WAITFOR
#elif defined(ANY_DRIFT)
inline hold_for(timer) { if :: timer = HOLD - D :: timer = HOLD + D fi }
inline wait_for(timer) { if :: timer = WAITFOR - D :: timer = WAITFOR + D fi }
#else
#define hold_for(timer) timer = HOLD + D
#define wait_for(timer) timer = WAITFOR - D
#endif

/* ---- the membership store: one view document, one register per incarnation ---- */
#ifdef LIVE
bool up = true;                         /* false: outage */
#else
#define up true                         /* for safety an outage is a store that nobody gets to for a while */
#endif
byte ver;                               /* number of the published view */
byte mem[NV];                           /* its members, a set of incarnations (kept for each view: "its last 64 changes") */
byte own[NV];                           /* the directory, abstracted: the owner stays while it is a member */
bool revoked[NI];
/* A register only grows and is only compared with "the count that I saw". So the model keeps no number: same[i] says that
 * node i's observer saw the present one; a raise clears it. Exact, and leases can be renewed for ever. */
bool same[N];
mtype = { NO, FLYING, LANDED };
mtype stray[NI] = NO;                   /* a raise whose sender gave up waiting: it may still land, or has, and the sender does not know */
byte ninc = N;                          /* next incarnation */
#define has(v, x) ((mem[v] >> (x)) & 1)

/* ---- the storage provider ---- */
byte rec_ver, rec_state, rec_tells;     /* the actor: version; the turns in its state; its outbox, one row per turn */
mtype = { ABSENT, OPEN, CLOSED };
mtype row[NI] = ABSENT;                 /* writer rows */
mtype = { NONE, SENT, BEGUN, ACCEPTED, CONFLICT, REFUSED };
typedef Commit { mtype st; byte inc, ver, turn, state; bool tell };
Commit cur[N];                          /* the commit whose answer node i waits for */
Commit late[N];                         /* one of which it was told "unknown": lands at any time, or never */

/* ---- the nodes ---- */
byte me[N];                             /* incarnation */
byte myv[N];                            /* installed view */
byte lease[N];                          /* true ticks until its lease runs out */
byte next[N];                           /* the same for the raise under way, running since before it was sent */
bool susp[N] = true;                    /* suspended until a raise succeeded and the newest view was installed */
#ifdef ONE_WAY
#define holds(i) (i == 1 || (lease[i] > 0 && !susp[i]))
#else
#define holds(i) (lease[i] > 0 && !susp[i])
#endif

mtype = { IDLE, RAISING, RAISED, LOST, GONE };
mtype raise[N] = IDLE;
mtype = { LOOK, ASKED, WATCH, OUT };
mtype watch[N] = LOOK; byte target[N], wait[N];
mtype = { OFF, LOADING, READY, PASS, FENCE_COMMIT, WRITE_COMMIT, AWAIT, FENCE_REPLY, WRITE_REPLY };
mtype ph[N] = OFF;
byte mver[N], mstate[N], turn[N];
mtype = { READ, DONE, NOT_DONE };
mtype what[N] = READ;                   /* what the reply will say */
bool tell[N], again[N], fresh[N];
byte nturn;

/* ---- links ---- */
typedef Reply { bool sent, fresh, peer; byte inc, view, turn; mtype what };
Reply out[N];
byte pview;                             /* the peer's installed view */

/* ---- ghosts: only assertions read them ---- */
byte lastload = NOBODY, lastview;       /* who loaded last, under which view */
byte pknows;                            /* the newest view of which the peer has accepted anything */
byte done, notdone;                     /* turns told DONE, NOT_DONE */
#define one(t) (1 << (t))
#ifdef LIVE
bool stable;                            /* from here on node 0 is dead, the store up, and what is due is done before time passes */
#define whim(i) (!stable)
#define turns false                     /* L1 is about owning, not about turns */
#define alive(i) (!stable || i != 0)
#define spare(i) (i != 0 || ninc < NI)   /* bound: the live node is revoked only while it can come back */
#define restarts(i) (i != 0 && (raise[i] == GONE || !has(ver, me[i])))
#else
#define whim(i) true
#define turns true
#define alive(i) true
#define spare(i) true
#define restarts(i) observes(1 - i)
#endif

inline publish(members) {
	mem[ver + 1] = members; ver++;
	if
	:: has(ver, own[ver - 1]) -> own[ver] = own[ver - 1]
	:: else -> own[ver] = 0; do :: own[ver] < NI && !has(ver, own[ver]) -> own[ver]++ :: else -> break od
	fi
}

/* ================= the lease: a thread of its own ================= */
inline raise_lands(x) {                 /* the count changes: nobody has seen the present one */
	for (k : 0 .. N - 1) { if :: target[k] == x -> same[k] = false :: else fi };
	k = 0
}
inline forget(c) { c.st = NONE; c.inc = 0; c.ver = 0; c.turn = 0; c.state = 0; c.tell = false }
inline give_up(i) {                     /* nobody waits for this commit any more; it may still land */
	if
	:: (cur[i].st == SENT || cur[i].st == BEGUN) && late[i].st == NONE ->
		late[i].st = cur[i].st; late[i].inc = cur[i].inc; late[i].ver = cur[i].ver;
		late[i].turn = cur[i].turn; late[i].state = cur[i].state; late[i].tell = cur[i].tell
	:: else
	fi;
	forget(cur[i])
}

proctype Lease(byte i) {
	byte k;
	do
	/* "counts from *before* it sent the raise that succeeded" */
	:: atomic { alive(i) && raise[i] == IDLE && (whim(i) || lease[i] <= 1) -> hold_for(next[i]); raise[i] = RAISING }
	:: atomic { alive(i) && raise[i] == RAISING && up ->
		if
#ifndef MUT_RENEW_REVOKED
		:: revoked[me[i]] -> raise[i] = GONE    /* "A revoked register never comes back" */
#endif
		:: else ->
			if      /* conditional on the count that its sender knows */
			:: stray[me[i]] == LANDED -> raise[i] = LOST
			:: else -> raise_lands(me[i]); raise[i] = RAISED
			fi;
			stray[me[i]] = NO
		fi }
#if defined(STRAY) || defined(MUT_CONFLICT_IS_SUCCESS)
	/* no answer in time: the raise may still land */
	:: atomic { alive(i) && raise[i] == RAISING && whim(i) && stray[me[i]] == NO && observes(1 - i) -> stray[me[i]] = FLYING; raise[i] = IDLE; next[i] = 0 }
#endif
	:: atomic { alive(i) && raise[i] == RAISED ->
#ifdef MUT_COUNT_FROM_ANSWER
		hold_for(next[i]);
#endif
		if :: lease[i] == 0 -> susp[i] = true :: else fi;
		lease[i] = next[i]; next[i] = 0; raise[i] = IDLE }
	/* a stray raise took the count that this one was conditional on: not a success, raise again */
	:: atomic { alive(i) && raise[i] == LOST ->
#ifdef MUT_CONFLICT_IS_SUCCESS
		if :: lease[i] == 0 -> susp[i] = true :: else fi;
		lease[i] = next[i];
#endif
		next[i] = 0; raise[i] = IDLE }
	/* views: followed by watching, and read on resumption */
	:: atomic { alive(i) && up && has(ver, me[i]) && (myv[i] < ver || (susp[i] && lease[i] > 0)) ->
		myv[i] = ver;
		if
		:: susp[i] && lease[i] > 0 ->
			assert(ph[i] == OFF || ph[i] == LOADING || lastload == me[i]);                           /* S3 */
			assert(ph[i] != READY || (mver[i] == rec_ver && mstate[i] == rec_state));                /* S3 */
			susp[i] = false
		:: else
		fi }
	/* "that process starts anew as a new incarnation": because it is revoked or gone, or after a crash at any point */
	:: atomic { alive(i) && up && ninc < NI && restarts(i) ->
		give_up(i); lease[i] = 0; next[i] = 0; susp[i] = true; raise[i] = IDLE; watch[i] = LOOK; wait[i] = 0; same[i] = false;
		ph[i] = OFF; again[i] = false; fresh[i] = false; what[i] = READ; tell[i] = false; turn[i] = 0; mver[i] = 0; mstate[i] = 0;
		me[i] = ninc; ninc++;
		publish(mem[ver] | one(me[i])); myv[i] = ver; row[me[i]] = OPEN }
	od
}

/* ================= the observer ================= */
#define other(i, x) (has(myv[i], x) && x != me[i])
#define others(i) (mem[myv[i]] & ~one(me[i]))

proctype Observer(byte i) {
	byte x;
	do
#ifdef MUT_T0_BEFORE_READ
	:: atomic { alive(i) && watch[i] == LOOK && others(i) -> wait_for(wait[i]); watch[i] = ASKED }
	:: atomic { alive(i) && watch[i] == ASKED && up && others(i) ->
#else
	/* "first saw count c at t0": t0 is read after the answer has come */
	:: atomic { alive(i) && watch[i] == LOOK && up && others(i) ->
#endif
		if
		:: other(i, 0) -> x = 0
		:: other(i, 1) -> x = 1
		:: other(i, 2) -> x = 2
#if NI > 3
		:: other(i, 3) -> x = 3
#endif
		fi;
		target[i] = x; same[i] = !revoked[x];
#ifndef MUT_T0_BEFORE_READ
		wait_for(wait[i]);        /* also: "whoever finds a register revoked waits that long from then" */
#endif
#ifdef MUT_FINDER_DOES_NOT_WAIT
		if :: revoked[x] -> wait[i] = 0 :: else fi;
#endif
		watch[i] = (revoked[x] -> OUT : WATCH); x = 0 }
	/* the count has changed, or someone else revoked it, or the member is gone: look again */
	:: atomic { alive(i) && watch[i] == WATCH && up && (!same[i] || revoked[target[i]]) -> watch[i] = LOOK; wait[i] = 0; same[i] = false }
	/* "may set c to revoked once c has not changed for ttl * 1.01, or earlier by votes" */
	:: atomic { alive(i) && watch[i] == WATCH && up && same[i] && !revoked[target[i]] && (wait[i] == 0 || whim(i)) && spare(i) ->
		revoked[target[i]] = true; watch[i] = OUT }
	/* "and publishes the view without that member not before t0 + ttl * 1.01" */
#ifdef MUT_PUBLISH_WITHOUT_WAITING
#define waited(i) true
#else
#define waited(i) (wait[i] == 0)
#endif
	:: atomic { alive(i) && watch[i] == OUT && up && myv[i] == ver && has(ver, target[i]) && waited(i) ->
		publish(mem[ver] & ~one(target[i]));
		if :: has(ver, me[i]) -> myv[i] = ver :: else fi;
		watch[i] = LOOK; wait[i] = 0; same[i] = false }
	/* somebody else than the revoker (or the revoker, restarted) finds the register revoked */
	:: atomic { alive(i) && watch[i] == OUT && whim(i) -> watch[i] = LOOK; wait[i] = 0; same[i] = false }
	:: atomic { alive(i) && watch[i] == OUT && !has(myv[i], target[i]) -> watch[i] = LOOK; wait[i] = 0; same[i] = false }
	od
}

/* ================= the actor's host ================= */
inline settled(i) { forget(cur[i]); again[i] = false; ph[i] = FENCE_REPLY }

#ifdef MUT_CLOSE_DOES_NOT_WAIT
#define no_batch_under_way(i) true
#else
#define passed(i, c) (c.st != BEGUN || has(myv[i], c.inc))
#define no_batch_under_way(i) (passed(i, cur[0]) && passed(i, late[0]) && passed(i, cur[1]) && passed(i, late[1]))
#endif

proctype Host(byte i) {
	byte x;
	do
	/* "Before its first load under a view, a node closes the rows of all incarnations gone by that view;
	 *  closing waits for batches under way" */
	:: atomic { alive(i) && ph[i] == OFF && own[myv[i]] == me[i] && holds(i) && no_batch_under_way(i) ->
		for (x : 0 .. NI - 1) { if :: x < ninc && x != me[i] && !has(myv[i], x) -> row[x] = CLOSED :: else fi };
		x = 0; ph[i] = LOADING }
	:: atomic { alive(i) && ph[i] == LOADING ->
		mver[i] = rec_ver; mstate[i] = rec_state; ph[i] = READY;
		if :: lastload == NOBODY || myv[i] > lastview -> lastload = me[i]; lastview = myv[i] :: else fi }
	/* "once per loop pass (thrift)": thrift only. Turns may be computed at any time; the fences below carry the safety. */
#ifdef MUT_NO_FENCE
	:: atomic { ph[i] == READY && holds(i) -> ph[i] = PASS }
	:: atomic { ph[i] == PASS ->
#else
	:: atomic { turns && ph[i] == READY ->
#endif
		fresh[i] = (lastload == me[i]);
		if
		:: what[i] = READ; ph[i] = FENCE_REPLY
		:: nturn < TURNS -> turn[i] = nturn; nturn++; if :: tell[i] = false :: tell[i] = true fi; ph[i] = FENCE_COMMIT
		fi }
	/* "again immediately before each write to a link, a store or an outside caller (the fence)" */
#ifdef MUT_NO_FENCE
#define fence(i) true
#else
#define fence(i) holds(i)
#endif
	:: atomic { alive(i) && ph[i] == FENCE_COMMIT && fence(i) -> ph[i] = WRITE_COMMIT }
	:: atomic { alive(i) && ph[i] == WRITE_COMMIT ->        /* it may have stopped for any time since the fence */
		cur[i].st = SENT; cur[i].inc = me[i]; cur[i].ver = mver[i]; cur[i].turn = turn[i]; cur[i].tell = tell[i];
		cur[i].state = (tell[i] -> mstate[i] : mstate[i] | one(turn[i]));
#ifdef MUT_EMPTY_WRITE
		if :: again[i] -> cur[i].tell = false; cur[i].state = mstate[i] :: else fi;
#endif
		ph[i] = AWAIT }
#ifdef MUT_EMPTY_WRITE
	:: atomic { ph[i] == AWAIT && cur[i].st == ACCEPTED && again[i] -> what[i] = NOT_DONE; settled(i) }
	:: atomic { ph[i] == AWAIT && ((cur[i].st == ACCEPTED && !again[i]) || (cur[i].st == CONFLICT && again[i])) ->
#else
	:: atomic { alive(i) && ph[i] == AWAIT && (cur[i].st == ACCEPTED || (cur[i].st == CONFLICT && again[i])) ->
#endif
		mver[i] = cur[i].ver + 1; mstate[i] = cur[i].state; what[i] = DONE; settled(i) }
	:: atomic { alive(i) && ph[i] == AWAIT && cur[i].st == CONFLICT && !again[i] -> what[i] = NOT_DONE; settled(i) }
	/* a closed row: this incarnation is gone; it answers nothing more (REFUSED stays) */
	/* connection lost: the outcome is unknown */
	:: atomic { alive(i) && ph[i] == AWAIT && cur[i].st != REFUSED && whim(i) && observes(1 - i) &&
		(late[i].st == NONE || cur[i].st == ACCEPTED || cur[i].st == CONFLICT) ->
		give_up(i);
#ifdef MUT_UNKNOWN_BY_READ
		if
		:: rec_ver == mver[i] -> what[i] = NOT_DONE
		:: else -> mver[i] = rec_ver; mstate[i] = rec_state; what[i] = DONE
		fi;
		settled(i)
#else
		/* "resolved by a conditional write at the last known version": the same commit once more. Accepted or in conflict,
		 * the turn is in the store, for nobody else may write while this row is open. */
		again[i] = true; ph[i] = FENCE_COMMIT
#endif
	}
	:: atomic { alive(i) && ph[i] == FENCE_REPLY && fence(i) -> ph[i] = WRITE_REPLY }
	:: atomic { alive(i) && ph[i] == WRITE_REPLY && !out[i].sent ->
		out[i].sent = true; out[i].inc = me[i]; out[i].view = myv[i]; out[i].turn = turn[i]; out[i].what = what[i];
		out[i].fresh = fresh[i]; if :: out[i].peer = true :: out[i].peer = false fi;
		ph[i] = (what[i] == NOT_DONE -> OFF : READY); fresh[i] = false; what[i] = READ; turn[i] = 0; tell[i] = false }
	od
}

/* ================= the store at work: batches land in any order, at any time, or never ================= */
inline begin(c) {
	if
#ifdef MUT_NO_WRITER_ROW
	:: c.st = BEGUN
#else
	:: row[c.inc] == OPEN -> c.st = BEGUN           /* "conditional on its writer's row being open" */
	:: else -> c.st = REFUSED
#endif
	fi
}
inline apply(c) {
	if
	:: c.ver == rec_ver ->                          /* "every actor commit in it on the version that was read" */
		assert(c.inc == lastload);                                                               /* S2 */
		assert(!(notdone & one(c.turn)));                                                        /* S4 */
		if
		:: c.tell ->
			assert(!(rec_tells & one(c.turn)));                                              /* S4: once */
			rec_tells = rec_tells | one(c.turn)
		:: else -> rec_state = c.state
		fi;
		assert(((rec_state | rec_tells) & done) == done);                                        /* S4 */
#ifdef MUT_VERSION_NOT_RAISED
		if :: c.tell :: else -> rec_ver++ fi;
#else
		rec_ver++;                              /* "Every commit raises the version, even one that changes no state byte" */
#endif
		c.st = ACCEPTED
	:: else -> c.st = CONFLICT
	fi
}

proctype Store(byte i) {                /* the part of it that serves node i */
	byte k;
	do
	:: atomic {
		if
		:: cur[i].st == SENT -> begin(cur[i])
		:: cur[i].st == BEGUN -> apply(cur[i])
		:: late[i].st == SENT -> begin(late[i]); if :: late[i].st == REFUSED -> forget(late[i]) :: else fi
		:: late[i].st == BEGUN -> apply(late[i]); forget(late[i])
		:: up && stray[me[i]] == FLYING && !revoked[me[i]] -> raise_lands(me[i]); stray[me[i]] = LANDED
		fi }
	od
}

/* ================= who receives ================= */
inline accept(o) {
#if !defined(CLOCK_STOPS) || defined(WITH_S1A)
	assert(o.fresh || o.what != READ);                                                               /* S1a */
#endif
	if
	:: o.what == DONE -> done = done | one(o.turn); assert((rec_state | rec_tells) & one(o.turn))    /* S4 */
	:: o.what == NOT_DONE -> notdone = notdone | one(o.turn); assert(!((rec_state | rec_tells) & one(o.turn)))
	:: else
	fi
}

proctype Receivers(byte i) {            /* what they do with replies of node i */
	do
	:: atomic { out[i].sent;
		if
		:: !out[i].peer -> accept(out[i])
		:: out[i].peer ->
#ifndef MUT_NO_CATCH_UP
			/* "A receiver that is behind first installs that view" */
			if :: out[i].view > pview -> pview = out[i].view :: else fi;
#endif
			if
#ifndef MUT_NO_BARRIER
			:: !has(pview, out[i].inc) -> skip              /* "and refuses incarnations that its view lacks" */
#endif
			:: else ->
				if :: out[i].view > pknows -> pknows = out[i].view :: else fi;
				if :: pview > pknows -> pknows = pview :: else fi;
				assert(has(pknows, out[i].inc));                                         /* S1b */
				accept(out[i])
			fi
		fi;
		out[i].sent = false; out[i].fresh = false; out[i].peer = false; out[i].inc = 0; out[i].view = 0; out[i].turn = 0;
		out[i].what = READ }
	:: atomic { up && pview < ver -> pview = ver }
	od
}

/* ================= the world ================= */
inline tick(timer) { if :: timer > 0 -> timer-- :: else fi }

proctype World() {
	byte i;
	do
	/* time passes; CLOCK_BOOTTIME goes on while a process is stopped */
#ifdef LIVE
	:: atomic { !stable || timeout ->
#else
	:: atomic { i == 0 ->
#endif
		for (i : 0 .. N - 1) {
			tick(next[i]); tick(wait[i]);
#ifdef CLOCK_STOPS
			if :: tick(lease[i]) :: skip fi         /* "a hypervisor stops the guest's clock" */
#else
			tick(lease[i])
#endif
		};
		i = 0 }
#ifdef LIVE
	:: atomic { !stable -> up = !up }
	:: atomic { !stable -> stable = true; up = true }
#endif
	od
}

init {
	atomic {
		byte i;
		for (i : 0 .. N - 1) { me[i] = i; row[i] = OPEN; cur[i].st = NONE; late[i].st = NONE; out[i].what = READ; mem[0] = mem[0] | one(i) };
		for (i : 0 .. N - 1) { run Host(i); if :: observes(i) -> run Observer(i) :: else fi; if :: observes(1 - i) -> run Lease(i) :: else fi };
		for (i : 0 .. N - 1) { run Store(i); run Receivers(i) };
		run World()
	}
}

#ifdef LIVE
#define owns (holds(1) && lastload == me[1])
ltl L1 { [] (stable -> <> owns) }
#endif
