/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Lua scripts, and how things lie in Redis. Redis runs a script as one step and writes its
 * effects as one MULTI/EXEC block into the append-only file: that is what makes a commit all or
 * nothing. Encode.c calls them.
 *
 * Keys, all behind the prefix of the URL (`troupe:`); TEXT is the text form of an id, numbers are
 * 16 hexadecimal digits, so that their bytewise order is theirs and no double rounds them:
 *
 *   format        "1": this layout
 *   w             hash   writer -> o (open) or c (closed)
 *   wo            zset   the open writers
 *   m             hash   TEXT -> version, time, wake, then a letter: x a tombstone, r has rows or
 *                        had some, dash none of these
 *   s             hash   TEXT -> state
 *   r:TEXT        hash   kind (a digit) and key of a row -> its value
 *   i:TYPE        zset   the texts of the type's actors that are no tombstones
 *   d             zset   wake and TEXT of each actor with a wake
 *   n             hash   TEXT -> position and time of its last event
 *   e:TEXT        stream events, entry ids are position-0; t, n, p = time, name, payload
 *   h:TEXT        hash   snapshots: version -> time, state
 *   v:TEXT        zset   version and time of each snapshot
 *   k:TYPE        zset   TEXT by its number of snapshots, where there are several
 *   o:TYPE        zset   time, version, TEXT of each snapshot that is not its actor's newest
 *
 * All but k have score 0 only and are ordered by their members' bytes. m and s hold all actors, so
 * that a call reads the versions of a hundred commits by one HMGET and writes their states by one
 * HSET: a call from Lua costs as much as the work that it does for one small commit.
 *
 * Invariants
 * 1. A script reads and judges before its first write, and what it then writes cannot be refused:
 *    Redis looks at memory, disk and role at the first write only. So a failed script wrote
 * nothing.
 * 2. No arithmetic on 64-bit numbers: Lua's are doubles. They are compared as text; times are added
 *    to in two halves.
 * 3. Keys are made from the prefix inside the script, which Redis Cluster does not allow: it is
 *    refused when the store is opened.
 * 4. m and s are written behind the commits of a call, in their order; what must see them written
 *    (an erase) has them written first.
 * Threads: constants only.
 */
#include "providers/redis/redis.h"

/* ARGV: prefix, writer, number of commits, their texts; then for each: version, new m, what. What
 * is `s`, the plain case, followed by the state; or letters (e: erase, s: state, k: snapshot,
 * dash), number of rows, number of events, followed by the state if there is one, two arguments for
 * each row (its field behind p to put it or d to remove it, value) and each event (name, payload).
 * Returns for each commit: 1; the version found; -1: what is stored is none of ours. Bytes are
 * compared in place (114 is r, 120 is x): each string that Lua makes is a block and a hash. */
static const char commit_text[] =
    "local p, c, sub, zero = ARGV[1], redis.call, string.sub, '0000000000000000'\n"
    "local find, byte = string.find, string.byte\n"
    "if c('HGET', p .. 'w', ARGV[2]) ~= 'o' then return 'closed' end\n"
    "local count = tonumber(ARGV[3])\n"
    "local was = c('HMGET', p .. 'm', unpack(ARGV, 4, 3 + count))\n"
    "local now, out, metas, states, nm, ns = {}, {}, {}, {}, 0, 0\n"
    "local function flush()\n"
    "  if nm > 0 then c('HSET', p .. 'm', unpack(metas, 1, nm)) end\n"
    "  if ns > 0 then c('HSET', p .. 's', unpack(states, 1, ns)) end\n"
    "  nm, ns = 0, 0\n"
    "end\n"
    "local function erase(text, kind, v)\n"
    "  flush()\n"
    "  for _, one in ipairs(c('ZRANGE', v, 0, -1)) do\n"
    "    c('ZREM', p .. 'o:' .. kind, sub(one, 17, 32) .. sub(one, 1, 16) .. text)\n"
    "  end\n"
    "  c('ZREM', p .. 'k:' .. kind, text)\n"
    "  c('HDEL', p .. 's', text)\n"
    "  c('UNLINK', p .. 'r:' .. text, p .. 'e:' .. text, p .. 'h:' .. text, v)\n"
    "end\n"
    "local function snap(text, kind, v, m, state)\n"
    "  local n, last = c('ZCARD', v), c('ZREVRANGE', v, 0, 0)[1]\n"
    "  if last then\n"
    "    c('ZADD', p .. 'o:' .. kind, 0, sub(last, 17, 32) .. sub(last, 1, 16) .. text)\n"
    "    c('ZADD', p .. 'k:' .. kind, n + 1, text)\n"
    "  end\n"
    "  c('ZADD', v, 0, sub(m, 1, 32))\n"
    "  c('HSET', p .. 'h:' .. text, sub(m, 1, 16), sub(m, 17, 32) .. state)\n"
    "end\n"
    "local function append(text, m, at, events)\n"
    "  local e = c('HGET', p .. 'n', text) or zero .. zero\n"
    "  local n, time = tonumber(sub(e, 1, 16), 16), sub(e, 17, 32)\n"
    "  local h, l = tonumber(sub(m, 17, 24), 16), tonumber(sub(m, 25, 32), 16)\n"
    "  for r = at, at + 2 * events - 1, 2 do\n"
    "    local hi, lo = tonumber(sub(time, 1, 8), 16), tonumber(sub(time, 9, 16), 16) + 1\n"
    "    if lo == 4294967296 then hi, lo = hi + 1, 0 end\n"
    "    if h > hi or h == hi and l > lo then hi, lo = h, l end\n"
    "    time = string.format('%08x%08x', hi, lo)\n"
    "    n = n + 1\n"
    "    c('XADD', p .. 'e:' .. text, string.format('%.0f-0', n), 't', time,\n"
    "      'n', ARGV[r], 'p', ARGV[r + 1])\n"
    "  end\n"
    "  c('HSET', p .. 'n', text, string.format('%016x', n) .. time)\n"
    "end\n"
    "local function rest(text, m, what, at, rows, events)\n"
    "  local kind, v = string.match(text, '^[^/@]+'), p .. 'v:' .. text\n"
    "  if find(what, 'e', 1, true) then erase(text, kind, v) end\n"
    "  if find(what, 's', 1, true) then\n"
    "    states[ns + 1], states[ns + 2], ns = text, ARGV[at], ns + 2\n"
    "    if find(what, 'k', 1, true) then snap(text, kind, v, m, ARGV[at]) end\n"
    "    at = at + 1\n"
    "  end\n"
    "  for r = at, at + 2 * rows - 1, 2 do\n"
    "    local row = sub(ARGV[r], 2)\n"
    "    if sub(ARGV[r], 1, 1) == 'p' then c('HSET', p .. 'r:' .. text, row, ARGV[r + 1])\n"
    "    else c('HDEL', p .. 'r:' .. text, row) end\n"
    "  end\n"
    "  if events > 0 then append(text, m, at + 2 * rows, events) end\n"
    "end\n"
    "local i = 4 + count\n"
    "for j = 1, count do\n"
    "  local text, m, what, at, rows, events = ARGV[3 + j], ARGV[i + 1], ARGV[i + 2], i + 3, 0, 0\n"
    "  local old = now[text] or was[j]\n"
    "  local judged = find(old or zero, ARGV[i], 1, true) == 1\n"
    "  i = at + 1\n"
    "  if what ~= 's' then\n"
    "    local a, b, d = string.match(what, '^(%S+) (%d+) (%d+)$')\n"
    "    what, rows, events = a, tonumber(b), tonumber(d)\n"
    "    i = at + 2 * rows + 2 * events\n"
    "    if find(what, 's', 1, true) then i = i + 1 end\n"
    "  end\n"
    "  if old and #old ~= 49 then out[j] = -1\n"
    "  elseif not judged then out[j] = old and sub(old, 1, 16) or zero\n"
    "  else\n"
    "    local mark, tomb, next = old and byte(old, 49) or 120, byte(m, 49) == 120, sub(m, 33, "
    "48)\n"
    "    if what == 's' then\n"
    "      states[ns + 1], states[ns + 2], ns = text, ARGV[at], ns + 2\n"
    "    else\n"
    "      rest(text, m, what, at, rows, events)\n"
    "    end\n"
    "    if rows > 0 or mark == 114 and not find(what, 'e', 1, true) then\n"
    "      m = sub(m, 1, 48) .. 'r'\n"
    "    end\n"
    "    if (mark == 120) ~= tomb then\n"
    "      local ids = p .. 'i:' .. string.match(text, '^[^/@]+')\n"
    "      if tomb then c('ZREM', ids, text) else c('ZADD', ids, 0, text) end\n"
    "    end\n"
    "    if next ~= zero or old and find(old, zero, 33, true) ~= 33 then\n"
    "      local wake = old and sub(old, 33, 48) or zero\n"
    "      if wake ~= zero and wake ~= next then c('ZREM', p .. 'd', wake .. text) end\n"
    "      if next ~= zero and wake ~= next then c('ZADD', p .. 'd', 0, next .. text) end\n"
    "    end\n"
    "    metas[nm + 1], metas[nm + 2], nm = text, m, nm + 2\n"
    "    now[text], out[j] = m, 1\n"
    "  end\n"
    "end\n"
    "flush()\n"
    "return out\n";

/* ARGV: prefix, texts. Returns for each: m, state, rows; each may be nil. */
static const char load_text[] =
    "local p, c, out = ARGV[1], redis.call, {}\n"
    "local metas = c('HMGET', p .. 'm', unpack(ARGV, 2))\n"
    "local states = c('HMGET', p .. 's', unpack(ARGV, 2))\n"
    "for j, m in ipairs(metas) do\n"
    "  local has = m and string.byte(m, 49) == 114\n"
    "  out[3 * j - 2], out[3 * j - 1] = m, states[j]\n"
    "  out[3 * j] = has and c('HGETALL', p .. 'r:' .. ARGV[j + 1]) or false\n"
    "end\n"
    "return out\n";

/* ARGV: prefix, writer. Returns 1; 0: there was such a row. */
static const char open_writer_text[] =
    "local p = ARGV[1]\n"
    "if redis.call('HSETNX', p .. 'w', ARGV[2], 'o') == 0 then return 0 end\n"
    "redis.call('ZADD', p .. 'wo', 0, ARGV[2])\n"
    "return 1\n";

/* ARGV: prefix, writer. */
static const char close_writer_text[] = "local p = ARGV[1]\n"
                                        "redis.call('HSET', p .. 'w', ARGV[2], 'c')\n"
                                        "redis.call('ZREM', p .. 'wo', ARGV[2])\n"
                                        "return 1\n";

/* ARGV: prefix, writer. Returns how many. */
static const char close_older_text[] =
    "local p = ARGV[1]\n"
    "local old = redis.call('ZRANGEBYLEX', p .. 'wo', '-', '(' .. ARGV[2])\n"
    "for _, one in ipairs(old) do\n"
    "  redis.call('HSET', p .. 'w', one, 'c')\n"
    "  redis.call('ZREM', p .. 'wo', one)\n"
    "end\n"
    "return #old\n";

/* ARGV: prefix, type, keep (0: any), until (empty: any), limit. Returns how many, and 1 if there
 * are more. */
static const char prune_text[] =
    "local p, c, kind, keep, limit = ARGV[1], redis.call, ARGV[2], tonumber(ARGV[3]), "
    "tonumber(ARGV[5])\n"
    "local o, k, max, went = p .. 'o:' .. kind, p .. 'k:' .. kind, '(' .. ARGV[4], 0\n"
    "local many = '(' .. ARGV[3]\n"
    "local function drop(text, one)\n"
    "  local v = p .. 'v:' .. text\n"
    "  c('ZREM', v, one)\n"
    "  c('HDEL', p .. 'h:' .. text, string.sub(one, 1, 16))\n"
    "  c('ZREM', o, string.sub(one, 17, 32) .. string.sub(one, 1, 16) .. text)\n"
    "  local n = c('ZCARD', v)\n"
    "  if n > 1 then c('ZADD', k, n, text) else c('ZREM', k, text) end\n"
    "  went = went + 1\n"
    "end\n"
    "if ARGV[4] ~= '' then\n"
    "  for _, one in ipairs(c('ZRANGEBYLEX', o, '-', max, 'LIMIT', 0, limit)) do\n"
    "    drop(string.sub(one, 33), string.sub(one, 17, 32) .. string.sub(one, 1, 16))\n"
    "  end\n"
    "end\n"
    "while keep > 0 and went < limit do\n"
    "  local text = c('ZRANGEBYSCORE', k, many, '+inf', 'LIMIT', 0, 1)[1]\n"
    "  if not text then break end\n"
    "  local v = p .. 'v:' .. text\n"
    "  local last = math.min(c('ZCARD', v) - keep, limit - went)\n"
    "  for _, one in ipairs(c('ZRANGE', v, 0, last - 1)) do drop(text, one) end\n"
    "end\n"
    "if ARGV[4] ~= '' and c('ZRANGEBYLEX', o, '-', max, 'LIMIT', 0, 1)[1] then return {went, 1} "
    "end\n"
    "if keep > 0 and c('ZCOUNT', k, many, '+inf') > 0 then return {went, 1} end\n"
    "return {went, 0}\n";

/* ARGV: prefix, type, first, limit. Returns text, m, text, m, … */
static const char list_ids_text[] =
    "local p, out = ARGV[1], {}\n"
    "local ids = redis.call('ZRANGEBYLEX', p .. 'i:' .. ARGV[2], ARGV[3], '+', 'LIMIT', 0, "
    "ARGV[4])\n"
    "for at = 1, #ids, 1000 do\n"
    "  local last = math.min(at + 999, #ids)\n"
    "  for i, m in ipairs(redis.call('HMGET', p .. 'm', unpack(ids, at, last))) do\n"
    "    local n = 2 * (at + i - 1)\n"
    "    out[n - 1], out[n] = ids[at + i - 1], m\n"
    "  end\n"
    "end\n"
    "return out\n";

const char *tp_redis_script_text(tp_redis_script script)
{
    static const char *const texts[TP_REDIS_SCRIPTS] = {
        [TP_REDIS_COMMIT] = commit_text,
        [TP_REDIS_LOAD] = load_text,
        [TP_REDIS_OPEN_WRITER] = open_writer_text,
        [TP_REDIS_CLOSE_WRITER] = close_writer_text,
        [TP_REDIS_CLOSE_OLDER] = close_older_text,
        [TP_REDIS_PRUNE] = prune_text,
        [TP_REDIS_LIST_IDS] = list_ids_text,
    };
    return texts[script];
}
