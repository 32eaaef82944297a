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
 *   a:TEXT        hash   the actor: m = version, time, wake, then x for a tombstone or a dash;
 *                        s = state; e = last position of an event, its time; r + kind + key = a row
 *   i:TYPE        zset   the texts of the type's actors that are no tombstones
 *   d             zset   wake and TEXT of each actor with a wake
 *   e:TEXT        stream events, entry ids are position-0; t, n, p = time, name, payload
 *   s:TEXT        hash   snapshots: version -> time, state
 *   v:TEXT        zset   version and time of each snapshot
 *   k:TYPE        zset   TEXT by its number of snapshots, where there are several
 *   o:TYPE        zset   time, version, TEXT of each snapshot that is not its actor's newest
 *
 * All but k have score 0 only and are ordered by their members' bytes.
 *
 * Invariants
 * 1. A script reads and judges before its first write, and what it then writes cannot be refused:
 *    Redis looks at memory, disk and role at the first write only. So a failed script wrote
 * nothing.
 * 2. No arithmetic on 64-bit numbers: Lua's are doubles. They are compared as text; times are added
 *    to in two halves.
 * 3. Keys are made from the prefix inside the script, which Redis Cluster does not allow: it is
 *    refused when the store is opened.
 * Threads: constants only.
 */
#include "providers/redis/redis.h"

/* ARGV: prefix, writer, number of commits; for each: text, version, new m, what. What is `s`, the
 * plain case, followed by the state; or letters (e: erase, s: state, k: snapshot, dash), number of
 * rows, number of events, followed by the state if there is one, two arguments for each row (field,
 * value; the field begins with d instead of r to remove it) and each event (name, payload).
 * Returns for each commit: 1; the version found; -1: the key is of a wrong type. */
static const char commit_text[] =
    "local p, c, sub, zero = ARGV[1], redis.call, string.sub, '0000000000000000'\n"
    "if c('HGET', p .. 'w', ARGV[2]) ~= 'o' then return 'closed' end\n"
    "local function rest(k, text, m, what, at, rows, events)\n"
    "  local kind = string.match(text, '^[^/@]+')\n"
    "  local v, t = p .. 'v:' .. text, p .. 's:' .. text\n"
    "  if string.find(what, 'e', 1, true) then\n"
    "    local e = c('HGET', k, 'e')\n"
    "    for _, one in ipairs(c('ZRANGE', v, 0, -1)) do\n"
    "      c('ZREM', p .. 'o:' .. kind, sub(one, 17, 32) .. sub(one, 1, 16) .. text)\n"
    "    end\n"
    "    c('ZREM', p .. 'k:' .. kind, text)\n"
    "    c('UNLINK', k, p .. 'e:' .. text, v, t)\n"
    "    if e then c('HSET', k, 'e', e) end\n"
    "  end\n"
    "  c('HSET', k, 'm', m)\n"
    "  if string.find(what, 's', 1, true) then\n"
    "    c('HSET', k, 's', ARGV[at])\n"
    "    if string.find(what, 'k', 1, true) then\n"
    "      local n, last = c('ZCARD', v), c('ZREVRANGE', v, 0, 0)[1]\n"
    "      if last then\n"
    "        c('ZADD', p .. 'o:' .. kind, 0, sub(last, 17, 32) .. sub(last, 1, 16) .. text)\n"
    "        c('ZADD', p .. 'k:' .. kind, n + 1, text)\n"
    "      end\n"
    "      c('ZADD', v, 0, sub(m, 1, 32))\n"
    "      c('HSET', t, sub(m, 1, 16), sub(m, 17, 32) .. ARGV[at])\n"
    "    end\n"
    "    at = at + 1\n"
    "  end\n"
    "  for r = at, at + 2 * rows - 1, 2 do\n"
    "    if sub(ARGV[r], 1, 1) == 'r' then c('HSET', k, ARGV[r], ARGV[r + 1])\n"
    "    else c('HDEL', k, 'r' .. sub(ARGV[r], 2)) end\n"
    "  end\n"
    "  if events == 0 then return end\n"
    "  at = at + 2 * rows\n"
    "  local e, now = c('HGET', k, 'e') or zero .. zero, sub(m, 17, 32)\n"
    "  local n, time = tonumber(sub(e, 1, 16), 16), sub(e, 17, 32)\n"
    "  for r = at, at + 2 * events - 1, 2 do\n"
    "    local hi, lo = tonumber(sub(time, 1, 8), 16), tonumber(sub(time, 9, 16), 16) + 1\n"
    "    if lo == 4294967296 then hi, lo = hi + 1, 0 end\n"
    "    local h, l = tonumber(sub(now, 1, 8), 16), tonumber(sub(now, 9, 16), 16)\n"
    "    if h > hi or h == hi and l > lo then hi, lo = h, l end\n"
    "    time = string.format('%08x%08x', hi, lo)\n"
    "    n = n + 1\n"
    "    c('XADD', p .. 'e:' .. text, string.format('%.0f-0', n), 't', time,\n"
    "      'n', ARGV[r], 'p', ARGV[r + 1])\n"
    "  end\n"
    "  c('HSET', k, 'e', string.format('%016x', n) .. time)\n"
    "end\n"
    "local out, i = {}, 4\n"
    "for j = 1, tonumber(ARGV[3]) do\n"
    "  local text, m, what = ARGV[i], ARGV[i + 2], ARGV[i + 3]\n"
    "  local k, at, rows, events = p .. 'a:' .. text, i + 4, 0, 0\n"
    "  local old = redis.pcall('HGET', k, 'm')\n"
    "  local was = type(old) == 'string' and sub(old, 1, 16) or zero\n"
    "  local judged = was == ARGV[i + 1]\n"
    "  i = at + 1\n"
    "  if what ~= 's' then\n"
    "    local a, b, d = string.match(what, '^(%S+) (%d+) (%d+)$')\n"
    "    what, rows, events = a, tonumber(b), tonumber(d)\n"
    "    i = at + 2 * rows + 2 * events\n"
    "    if string.find(what, 's', 1, true) then i = i + 1 end\n"
    "    if judged and type(old) ~= 'table' then rest(k, text, m, what, at, rows, events) end\n"
    "  elseif judged and type(old) ~= 'table' then\n"
    "    c('HSET', k, 'm', m, 's', ARGV[at])\n"
    "  end\n"
    "  if type(old) == 'table' then out[j] = -1\n"
    "  elseif not judged then out[j] = was\n"
    "  else\n"
    "    out[j] = 1\n"
    "    local gone, tomb = not old or sub(old, 49) == 'x', sub(m, 49) == 'x'\n"
    "    if gone ~= tomb then\n"
    "      local ids = p .. 'i:' .. string.match(text, '^[^/@]+')\n"
    "      if tomb then c('ZREM', ids, text) else c('ZADD', ids, 0, text) end\n"
    "    end\n"
    "    local wake, next = old and sub(old, 33, 48) or zero, sub(m, 33, 48)\n"
    "    if wake ~= next then\n"
    "      if wake ~= zero then c('ZREM', p .. 'd', wake .. text) end\n"
    "      if next ~= zero then c('ZADD', p .. 'd', 0, next .. text) end\n"
    "    end\n"
    "  end\n"
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
    "  c('HDEL', p .. 's:' .. text, string.sub(one, 1, 16))\n"
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
    "for i, text in ipairs(redis.call('ZRANGEBYLEX', p .. 'i:' .. ARGV[2], ARGV[3], '+',\n"
    "    'LIMIT', 0, ARGV[4])) do\n"
    "  out[2 * i - 1], out[2 * i] = text, redis.call('HGET', p .. 'a:' .. text, 'm')\n"
    "end\n"
    "return out\n";

const char *tp_redis_script_text(tp_redis_script script)
{
    static const char *const texts[TP_REDIS_SCRIPTS] = {
        [TP_REDIS_COMMIT] = commit_text,
        [TP_REDIS_OPEN_WRITER] = open_writer_text,
        [TP_REDIS_CLOSE_WRITER] = close_writer_text,
        [TP_REDIS_CLOSE_OLDER] = close_older_text,
        [TP_REDIS_PRUNE] = prune_text,
        [TP_REDIS_LIST_IDS] = list_ids_text,
    };
    return texts[script];
}
