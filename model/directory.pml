/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of Troupe, for one actor id: PROTOCOLS.md sections 2, 5 (order) and 6 (migration).
 *
 * Three nodes, views 1..NV. A node is home of the id, host of its activation, sender, or all of these.
 * Leases are abstract: from the moment a view without it is published a node has no effects, but it goes
 * on sending and receiving (a zombie) until it learns of that view. Links keep order per pair of nodes and
 * may be arbitrarily slow. An acknowledgement of a message is instantaneous, the least that it can restrain.
 * A location cache is a hint, so a sender may take any member for the host.
 *
 * Properties
 *   D1  of all activations at most one has effects; a captured copy never resumes after a newer one ran
 *   D2  at rest every message is done, or its loss was told; without crash or eviction every one is done
 *   D3  (-DORDER) messages of one sender are run in the order sent
 *   D4  at rest after any crash, a new message from any living node activates the actor
 * 'At rest' is the end of a run: -DNP shows that every run ends, so D2 and D4 are eventualities without
 * any fairness assumption.
 *
 * Left out, since nothing new can come of it:
 *   - BACK that nobody asked for (src/directory/words.c, came_switch): it says what the answer to an
 *     ABORT sent again says, with the same numbers, and links here are as slow as they like.
 *   - the refusal of a held letter (BUSY, EXPIRED, TOO_LARGE): its sender is told that nothing was done,
 *     and nothing follows from it but that there is one message less, a run with a smaller MSGS.
 *   tests/directory/world_test.c has the first, rules_test.c the second, with the machine itself.
 *
 * Size:    NV views, MSGS messages, CRASHES, EVICTS, RELS releases, MIGS migrations (each at most).
 * Mutants: each -DNO_x takes one rule out; the rule's words stand at its macro.
 */
#ifndef NV
#define NV 3
#endif
#ifndef MSGS
#define MSGS 2
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef EVICTS
#define EVICTS 0
#endif
#ifndef RELS
#define RELS 0
#endif
#ifndef MIGS
#define MIGS 0
#endif
#ifndef CAP
#define CAP 8
#endif

#define N      3
#define PROBE  MSGS                   /* the new message of D4, from a sender of its own */
#define NONE   7
#define UNKNOWN 6

/* ---- the rules ------------------------------------------------------------------------------------- */
#ifndef NO_GRANT        /* "Only a message that carries the home's grant creates an activation" */
#define MAY_CREATE(g)   (g != 0)
#else
#define MAY_CREATE(g)   true
#endif
#ifndef NO_RELEASE_ACK  /* "Release is acknowledged: until then the host queues" */
#define AFTER_RELEASE   LEAVING
#else
#define AFTER_RELEASE   ABSENT
#endif
#ifndef NO_FLOOR        /* "whoever answers for view v refuses grants of older views" (grant, go and back) */
#define NEW_ENOUGH(n,g) (VIEW(g) >= floor[n])
#else
#define NEW_ENOUGH(n,g) true
#endif
#ifndef NO_ALL_ANSWERS  /* "an id without entry waits until all have answered or are gone" */
#define SURVEY_DONE(n)  (need[n] == 0)
#else
#define SURVEY_DONE(n)  true
#endif
#ifndef NO_HOMES_WORD   /* "The source takes the actor back only by the home's word" */
#define TAKE_BACK(n)    send(n, HOME(n), ABORT, 0, num[n], 0)
#else
#define TAKE_BACK(n)    run_copy(n, num[n])
#endif
#ifndef NO_SWITCH_FIRST /* "The target runs nothing before" the switch */
#define INSTALLED(n)    send(n, HOME(n), SWITCH, 0, num[n], 0)
#else
#define INSTALLED(n)    run_copy(n, num[n])
#endif
#ifndef NO_SENDER_PATH  /* "a sender changes its path only when all that it sent there is acknowledged" */
#define SENDER_WAITS    true
#else
#define SENDER_WAITS    false
#endif
#ifndef NO_FORWARD_PATH /* the same for every node that passes a message on, the home and former hosts too */
#define FORWARD_WAITS   true
#else
#define FORWARD_WAITS   false
#endif
#ifndef NO_VIEW_CHECK   /* "A receiver refuses incarnations that its view lacks" */
#define REFUSED(s,n)    (!IN(s, lv[n]))
#else
#define REFUSED(s,n)    false
#endif
#ifndef NO_ACKED_WORD   /* an entry is handed over when the host has acknowledged the home's last word (grant, go, back) */
#define WORD_KNOWN(n)   (!word[n])
#else
#define WORD_KNOWN(n)   true
#endif
#ifndef NO_SOURCE_WAITS /* a survey believes a source only while its target is in the view, and voids the move */
#define BELIEVED(t,n)   IN(t, lv[n])
#else
#define BELIEVED(t,n)   true
#endif
#ifndef NO_NEW_NUMBER   /* an activation that a survey finds as a source gets a new number */
#define FOUND_SOURCE(n) count[n]++; egrant[n] = NEXT(n)
#else
#define FOUND_SOURCE(n) skip
#endif
#ifndef NO_PREV         /* a hand-over names the number that the entry was switched or taken back from */
#define HANDED(m)       m
#else
#define HANDED(m)       0
#endif
#ifndef NO_RUNNING_ACK  /* "An activation leaves its node only when all that it sent is acknowledged": RUNNING too */
#define MAY_LEAVE(n)    (!IN(peer[n], lv[n]) || (act[peer[n]] != SOURCE && lv[peer[n]] <= lv[n]))
#else
#define MAY_LEAVE(n)    true
#endif
#ifndef NO_REPEAT       /* "A host re-announces after every view change": it repeats an open request */
#define REPEATS         true
#else
#define REPEATS         false
#endif

/* ---- state ----------------------------------------------------------------------------------------- */
mtype = { MSG, RELEASE, RELEASED, SURVEY, ANSWER, HANDOVER,
          INSTALL, SWITCH, GO, VOIDED, RUNNING, ABORT, BACK, GONE };
mtype = { ABSENT, ACTIVE, LEAVING, SOURCE, TARGET };

byte V = 1;                           /* the newest published view */
byte mem[NV+1];                       /* its members, bits */
byte hom[NV+1];                       /* the home of the id in it */
chan link[N*N] = [CAP] of { mtype, byte, byte, byte, byte };   /* kind, sender's view, message, number, arg */

bool  up[N] = true;
byte  lv[N] = 1;                      /* installed view */
mtype act[N] = ABSENT;                /* as host: the activation or its copy, */
byte  num[N];                         /*   its number (view, count), */
byte  peer[N] = NONE;                      /*   the other end of its migration, */
bool  asked[N];                       /*   the source has asked for it back */
byte  floor[N];                       /*   grants of older views are refused */
bool  settled[N];                     /* as home: the entry can be relied upon */
byte  ehost[N] = NONE;                /*   the entry: host, */
byte  egrant[N];                       /*   number, */
byte  eprev[N];                       /*   number it was switched or taken back from */
bool  word[N];                        /*   the host has not acknowledged it */
bool  hand[N];                        /* the former home has still to hand the entry over */
byte  count[N];                       /*   numbers issued in this view */
byte  need[N];                        /*   who has still to answer the survey */
byte  pend[N];                        /*   hosts whose request waits for the entry to settle */
bool  again[N];                       /* the host's timer: repeat the open request */
chan  held[N] = [MSGS+1] of { byte, byte };  /* messages a node holds: number, whom they came from */
byte  stuck;                          /* bits: the first of them cannot go on before something happens */
typedef Ways { byte to[MSGS+1] };
Ways  way[N];                         /* where a node passed a message on to: 0 not, 1+node, 1+N own mailbox */
bool  done[MSGS+1], lost[MSGS+1];
byte  org, sent, last, maxrun;        /* sender's node; messages sent; last one run + 1; highest number that ran */
byte  crashes, evicts, rels, migs;
bool  kept;                           /* the id has state in memory */

#define IN(x,v)   ((mem[v] >> (x)) & 1)
#define HOME(n)   hom[lv[n]]
#define VIEW(g)   ((g) / 8)
#define EFF(n)    (act[n] == ACTIVE && up[n] && IN(n, V))
#define L(s,d)    link[(s)*N+(d)]
#define LOSE(mm)  lost[mm] = true; stuck = 0
#define NO_ENTRY(n) ehost[n] = NONE; egrant[n] = 0; eprev[n] = 0; word[n] = false
#define ENTRY(n,h,gg,p) ehost[n] = h; egrant[n] = gg; eprev[n] = p
#define NEXT(n)   (lv[n]*8 + count[n])
#define PLANNED   (CRASHES + EVICTS == 0)

hidden byte i, j, m, g, x, v, s, nxt, g2, m2, x2;   /* scratch of one atomic step */
hidden mtype k;
hidden byte wait;

/* ---- actions --------------------------------------------------------------------------------------- */
inline send(a, b, kind, mm, gg, xx) {
	assert(nfull(L(a,b)));
	L(a,b)!kind, lv[a], mm, gg, xx
}
inline runs(n, gg) {                  /* D1 */
	act[n] = ACTIVE; num[n] = gg; asked[n] = false; peer[n] = NONE;
	if
	:: EFF(n) -> assert(EFF(0) + EFF(1) + EFF(2) == 1);
		if :: gg > maxrun -> maxrun = gg :: else fi
	:: else
	fi
}
inline create(n, gg) {                /* a planned move loses no state */
	assert(!(PLANNED && kept)); kept = true;
	runs(n, gg)
}
inline run_copy(n, gg) {
	assert(!(up[n] && IN(n,V)) || maxrun <= num[n]);
	runs(n, gg)
}
inline drop(n) { act[n] = ABSENT; num[n] = 0; asked[n] = false; peer[n] = NONE }

inline into_mailbox(n, mm) {                /* into the mailbox, which runs in order: D3 */
	if
	:: EFF(n) ->
		done[mm] = true; stuck = 0;
#ifdef ORDER
		if :: mm != PROBE -> assert(mm >= last); last = mm + 1 :: else fi
#endif
	:: else -> LOSE(mm)
	fi
}
/* may n send message mm along w now? Not while an older one of that sender that it sent along another way is open */
inline path(n, mm, w) {
	wait = false; j = 0;
	do
	:: j < mm && mm != PROBE ->
		if
		:: way[n].to[j] && way[n].to[j] != w && !done[j] && !lost[j] -> wait = true
		:: else
		fi; j++
	:: else -> break
	od;
	if
	:: n == org && !SENDER_WAITS -> wait = false
	:: n != org && !FORWARD_WAITS -> wait = false
	:: else
	fi
}
inline request(n) {                   /* a host's open request, to the home it knows */
	if
	:: act[n] == LEAVING -> send(n, HOME(n), RELEASE, 0, num[n], 0)
	:: act[n] == TARGET  -> send(n, HOME(n), SWITCH, 0, num[n], 0)
	:: act[n] == SOURCE  -> asked[n] = true; send(n, HOME(n), ABORT, 0, num[n], 0)
	:: else
	fi
}
inline settle(n) {
	settled[n] = true; need[n] = 0;
	if :: ehost[n] != NONE && !IN(ehost[n], lv[n]) -> ehost[n] = NONE :: else fi;
	if :: ehost[n] == NONE -> NO_ENTRY(n) :: else fi;
	i = 0;
	do
	:: i < N -> if :: (pend[n] >> i) & 1 -> again[i] = true :: else fi; i++
	:: else -> break
	od;
	pend[n] = 0
}
inline answered(n, a, st, gg, t) {       /* the highest number that lives is the entry; a target's copy is none yet */
	need[n] = need[n] & ~(1 << (a));
	if
	:: (st == ACTIVE || st == LEAVING || st == SOURCE && BELIEVED(t, n)) && gg > egrant[n] ->
		ENTRY(n, a, gg, 0);
		if :: st == SOURCE -> eprev[n] = gg :: else fi
	:: else
	fi;
	if
	:: SURVEY_DONE(n) ->
		if :: eprev[n] -> FOUND_SOURCE(n) :: else fi;
		settle(n)
	:: else
	fi
}
inline survey(n, whom) {              /* bits of the members to ask */
	settled[n] = false; NO_ENTRY(n); need[n] = whom;
	i = 0;
	do
	:: i < N ->
		if :: i != n && ((whom) >> i) & 1 -> send(n, i, SURVEY, 0, 0, 0) :: else fi; i++
	:: else -> break
	od;
	if
	:: (need[n] >> n) & 1 -> floor[n] = lv[n]; i = n; answered(n, i, act[n], num[n], peer[n])
	:: else
	fi
}
inline install(n) {                   /* the next view */
	x = HOME(n); lv[n]++; count[n] = 0; stuck = stuck & ~(1 << n);
	if :: hand[n] -> hand[n] = false; NO_ENTRY(n) :: else fi;    /* too late: there will be a survey */
	if
	:: !IN(n, lv[n]) -> die(n)
	:: else ->
		if
		:: x == n && HOME(n) == n ->
			if
			:: settled[n] -> settle(n)               /* drops the entry of an evicted host */
			:: else -> survey(n, mem[lv[n]])
			fi
		:: x == n && HOME(n) != n ->
			if
			:: settled[n] -> settled[n] = false; hand[n] = true
			:: else -> send(n, HOME(n), HANDOVER, 0, 0, UNKNOWN); NO_ENTRY(n)
			fi;
			need[n] = 0; pend[n] = 0
		:: x != n && HOME(n) == n && !IN(x, lv[n]) -> survey(n, mem[lv[n]])
		:: else                                          /* or await the previous home's hand-over */
		fi;
		if :: REPEATS -> request(n) :: else fi
	fi
}
inline die(n) {
	up[n] = false; drop(n); hand[n] = false; settled[n] = false; NO_ENTRY(n); need[n] = 0; pend[n] = 0;
	again[n] = false; count[n] = 0; floor[n] = 0;
	do
	:: nempty(held[n]) -> held[n]?m, _; LOSE(m)
	:: empty(held[n]) -> break
	od;
	i = 0;
	do :: i <= MSGS -> way[n].to[i] = 0; i++ :: else -> break od
}

/* ---- a frame arrives ------------------------------------------------------------------------------- */
inline deliver(n) {
	if
	:: k == MSG ->
		if
		:: MAY_CREATE(g) && act[n] == ABSENT && NEW_ENOUGH(n, g) -> create(n, g)
		:: g && act[n] != ABSENT && g > num[n] && NEW_ENOUGH(n, g) -> create(n, g)   /* the older one is over, as the home knows */
		:: else
		fi;
		if
		:: way[n].to[m] -> way[n].to[m] = 0; held[n]!!m, s                         /* came back: before what is newer */
		:: else -> held[n]!m, s
		fi
	:: k == SURVEY && v == lv[n] ->
		floor[n] = v;
		send(n, s, ANSWER, act[n], num[n], peer[n])
	:: k == ANSWER && v == lv[n] && HOME(n) == n && ((need[n] >> s) & 1) -> answered(n, s, m, g, x)
	:: k == HANDOVER && v == lv[n] && HOME(n) == n && !settled[n] && need[n] == 0 ->
		if
		:: x == UNKNOWN -> survey(n, mem[lv[n]])                                    /* it did not know either */
		:: else -> ENTRY(n, x, g, HANDED(m)); settle(n)
		fi
	:: (k == RELEASE || k == SWITCH || k == ABORT) && HOME(n) == n ->
		if
		:: !settled[n] -> pend[n] = pend[n] | (1 << s)
		:: settled[n] && k == RELEASE ->
			if
			:: ehost[n] == s && egrant[n] == g -> NO_ENTRY(n)
			:: else
			fi;
			send(n, s, RELEASED, 0, g, 0)
		:: settled[n] && k == SWITCH ->
			if
			:: ehost[n] != NONE && egrant[n] == g && ehost[n] != s ->                /* "that alone decides" */
				count[n]++; ENTRY(n, s, NEXT(n), g); word[n] = true;
				send(n, s, GO, g, egrant[n], 0)
			:: else -> send(n, s, VOIDED, 0, g, 0)
			fi
		:: settled[n] && k == ABORT ->
			if
			:: ehost[n] == s && egrant[n] == g ->                                    /* n+1 is void */
				count[n]++; ENTRY(n, s, NEXT(n), g); word[n] = true;
				send(n, s, BACK, g, egrant[n], 0)
			:: ehost[n] == s && eprev[n] == g -> word[n] = true; send(n, s, BACK, g, egrant[n], 0)
			:: ehost[n] != NONE && ehost[n] != s && eprev[n] == g                   /* switched: the target will say RUNNING */
			:: else -> send(n, s, GONE, 0, g, 0)
			fi
		fi
	:: k == RELEASED && act[n] == LEAVING && num[n] == g -> drop(n)
	:: k == INSTALL && (act[n] == ABSENT || (act[n] == TARGET && g > num[n])) ->
		act[n] = TARGET; num[n] = g; peer[n] = s; INSTALLED(n)
	:: k == GO && act[n] == TARGET && num[n] == m && NEW_ENOUGH(n, g) ->
		x = peer[n]; run_copy(n, g); peer[n] = x; send(n, x, RUNNING, 0, m, 0)
	:: k == BACK && act[n] == SOURCE && num[n] == m && NEW_ENOUGH(n, g) -> run_copy(n, g)
	:: k == VOIDED && act[n] == TARGET && num[n] == g -> drop(n)
	:: (k == GONE || k == RUNNING) && act[n] == SOURCE && num[n] == g -> drop(n)
	:: else
	fi
}
inline receive(n, from) {
	L(from,n)?k, v, m, g, x; s = from; stuck = stuck & ~(1 << n);
	if
	:: (k == MSG || k == GO || k == BACK) && g && g == egrant[from] -> word[from] = false
	:: else
	fi;
	do
	:: up[n] && lv[n] < v -> 
		g2 = g; m2 = m; x2 = x; install(n); g = g2; m = m2; x = x2
	:: else -> break
	od;
	if
	:: up[n] && !REFUSED(s, n) -> deliver(n)
	:: else -> if :: k == MSG -> LOSE(m) :: else fi                         /* the link tells the sender */
	fi
}

/* ---- a held message can go on ---------------------------------------------------------------------- */
inline choose(n) {                    /* any member of n's view */
	if
	:: IN(0, lv[n]) -> nxt = 0
	:: IN(1, lv[n]) -> nxt = 1
	:: IN(2, lv[n]) -> nxt = 2
	fi
}
inline pass(n) {                      /* the head of the queue; placement may choose any member */
	held[n]?<m, s>; g = 0; wait = false;
	if
	:: act[n] == ACTIVE -> nxt = N
	:: act[n] == LEAVING || act[n] == SOURCE || act[n] == TARGET -> wait = true
	:: act[n] == ABSENT && HOME(n) != n -> nxt = HOME(n)
	:: act[n] == ABSENT && HOME(n) == n ->
		if
		:: !settled[n] -> wait = true
		:: settled[n] && ehost[n] == NONE -> choose(n); g = 1
		:: else -> nxt = ehost[n]
		fi
	fi;
	if :: !wait -> path(n, m, nxt + 1) :: else fi;
	if
	:: wait -> stuck = stuck | (1 << n)
	:: !wait && nxt == N -> held[n]?_, _; into_mailbox(n, m)
	:: !wait && nxt != N ->
		held[n]?_, _;
		if :: g == 1 -> count[n]++; ENTRY(n, nxt, NEXT(n), 0); word[n] = true; g = egrant[n] :: else fi;
		way[n].to[m] = nxt + 1;
		send(n, nxt, MSG, m, g, 0)
	fi
}

proctype Node(byte n) {
end:	do
	:: atomic { nempty(L(0,n)) -> receive(n, 0) }
	:: atomic { nempty(L(1,n)) -> receive(n, 1) }
	:: atomic { nempty(L(2,n)) -> receive(n, 2) }
	:: atomic { up[n] && lv[n] < V -> install(n) }
	:: atomic { up[n] && hand[n] && WORD_KNOWN(n) ->
		hand[n] = false; send(n, HOME(n), HANDOVER, eprev[n], egrant[n], ehost[n]); NO_ENTRY(n) }
	:: atomic { up[n] && again[n] -> again[n] = false; request(n) }
	:: atomic { nempty(held[n]) && !((stuck >> n) & 1) -> pass(n) }
	:: atomic { up[n] && n == org && sent < MSGS ->            /* a new message, by the cache or by the home */
		choose(n); s = nxt; path(n, sent, s + 1);
		if
		:: !wait && empty(held[n]) -> way[n].to[sent] = s + 1; send(n, s, MSG, sent, 0, 0)
		:: held[n]!sent, n
		fi;
		sent++ }
	:: atomic { act[n] == ACTIVE && rels < RELS && empty(held[n]) && MAY_LEAVE(n) ->
		rels++; kept = false; x = num[n]; act[n] = AFTER_RELEASE; send(n, HOME(n), RELEASE, 0, x, 0);
		if :: act[n] == ABSENT -> drop(n) :: else fi }
	:: atomic { act[n] == ACTIVE && migs < MIGS && MAY_LEAVE(n) ->
		choose(n); migs++;
		if
		:: nxt != n -> act[n] = SOURCE; peer[n] = nxt; send(n, nxt, INSTALL, 0, num[n], 0)
		:: else
		fi }
	:: atomic { act[n] == SOURCE && !asked[n] -> asked[n] = true; TAKE_BACK(n) }   /* no word came in time */
	od
}
proctype World() {
end:	do
	:: atomic { V < NV ->
		x = mem[V]; i = 0;
		do
		:: i < N -> if :: !up[i] -> x = x & ~(1 << i) :: else fi; i++
		:: else -> break
		od;
		if
		:: true
		:: evicts < EVICTS && (x & ~1) && (x & 1) -> x = x & ~1; evicts++
		:: evicts < EVICTS && (x & ~2) && (x & 2) -> x = x & ~2; evicts++
		:: evicts < EVICTS && (x & ~4) && (x & 4) -> x = x & ~4; evicts++
		fi;
		mem[V+1] = x;
		if
		:: x & 1 -> hom[V+1] = 0
		:: x & 2 -> hom[V+1] = 1
		:: x & 4 -> hom[V+1] = 2
		fi;
		V++ }
	:: atomic { V < NV && crashes < CRASHES && up[0] && (up[1] && IN(1,V) || up[2] && IN(2,V)) -> crashes++; die(0) }
	:: atomic { V < NV && crashes < CRASHES && up[1] && (up[0] && IN(0,V) || up[2] && IN(2,V)) -> crashes++; die(1) }
	:: atomic { V < NV && crashes < CRASHES && up[2] && (up[0] && IN(0,V) || up[1] && IN(1,V)) -> crashes++; die(2) }
	od
}
inline told() {                       /* D2 */
	i = 0;
	do
	:: i < sent -> assert(done[i] || lost[i]); assert(done[i] || !PLANNED); i++
	:: else -> break
	od
}
proctype Monitor() {
	atomic { timeout -> told(); stuck = 0;
		if
		:: up[0] -> held[0]!PROBE, 0
		:: up[1] -> held[1]!PROBE, 1
		:: up[2] -> held[2]!PROBE, 2
		fi }
	atomic { timeout -> told(); assert(done[PROBE]) }  /* D4 */
}
init {
	atomic {
		mem[1] = 7; hom[1] = 0; settled[0] = true;
		i = 0;
		do :: i < N -> ehost[i] = NONE; i++ :: else -> break od;
		if :: org = 0 :: org = 1 fi;
		run Node(0); run Node(1); run Node(2); run World(); run Monitor()
	}
}
