/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hello. A message is kind u8, zero u8, size u16, body; docs/wire.md has the bodies.
 *
 *   state              message     then
 *   AWAITS_OPEN        OPEN        says CHALLENGE, AWAITS_HELLO   (server)
 *   AWAITS_CHALLENGE   CHALLENGE   says HELLO, AWAITS_HELLO       (client)
 *   AWAITS_HELLO       HELLO       AT_JUDGE
 *   AT_JUDGE           accept      AT_END; a server says HELLO
 *   any                REFUSED, or what should not come: AT_REFUSAL
 *
 * Threads: one owner.
 */
#include "wire/hello.h"

#include "base/text.h"
#include "wire/session.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { KIND_OPEN = 1, KIND_CHALLENGE, KIND_HELLO, KIND_REFUSED };

enum {
    HEAD = 4,
    OPEN_BYTES = 4 + TP_HELLO_NONCE_BYTES,
    CHALLENGE_BYTES = 2 + TP_HELLO_NONCE_BYTES,
    REFUSED_TEXT_MAX = 400,
    /* of HELLO, with all names as long as they may be */
    HELLO_MOST =
        5 * 8 + 4 + 3 * 2 + 2 * (1 + TP_NAME_MAX) + 1 + TP_HELLO_ADDRESS_MAX + TP_HELLO_PROOF_BYTES,
};

_Static_assert(
    (int)HELLO_MOST <= (int)TP_HELLO_BODY_MAX, "a hello fits its room, with some for later");

/* ---- preamble ------------------------------------------------------------------------------- */

void tp_preamble_put(char *at, tp_preamble preamble)
{
    at = tp_put_bytes(at, troupe_slice_of("TRP\1", 4));
    at = tp_put_16(at, preamble.shard);
    tp_put_8(tp_put_8(at, preamble.flags), 0);
}

const char *tp_preamble_get(const char *at, tp_preamble *ret_preamble)
{
    if (memcmp(at, "\x16\x03", 2) == 0)
        return "it began with TLS: the other side has TLS on, and a newer or another protocol";
    if (memcmp(at, "GET ", 4) == 0 || memcmp(at, "POST", 4) == 0 || memcmp(at, "HEAD", 4) == 0)
        return "it speaks HTTP: this is the port of the cluster, not that of the gateway";
    if (memcmp(at, "TRP", 3) != 0)
        return "its first bytes are not those of a node: a port scanner, or the wrong port";
    if (at[3] != 1)
        return "its preamble has a version that this node does not know: update this node first";
    tp_in in = tp_in_of(at + 4, 4);
    tp_preamble preamble = {.shard = tp_in_16(&in), .flags = tp_in_8(&in)};
    if (tp_in_8(&in) != 0 || (preamble.flags & ~(unsigned)TP_PREAMBLE_TLS))
        return "its preamble asks for what this node does not know: update this node first";
    *ret_preamble = preamble;
    return NULL;
}

/* ---- saying --------------------------------------------------------------------------------- */

static void note(tp_hello *hello, const char *bytes, size_t size)
{
    TP_ASSERT(size <= sizeof hello->said - hello->said_size);
    memcpy(hello->said + hello->said_size, bytes, size);
    hello->said_size += size;
}

/* Where a body of so many bytes goes, behind its head. */
static char *say(tp_hello *hello, unsigned kind, size_t size)
{
    TP_ASSERT(hello->out_size + HEAD + size <= sizeof hello->out);
    char *at = hello->out + hello->out_size;
    hello->out_size += (size_t)HEAD + size;
    return tp_put_32(at, (uint32_t)(kind | size << 16));
}

static tp_hello_event end_refused(tp_hello *hello, troupe_status status)
{
    hello->status = status;
    hello->state = TP_HELLO_AT_REFUSAL;
    return TP_HELLO_REFUSED;
}

/* The same words for both, or `text` for the peer only. */
static void say_refused(tp_hello *hello, troupe_status status, const char *text)
{
    size_t size = strlen(text);
    if (size > REFUSED_TEXT_MAX)
        size = REFUSED_TEXT_MAX;
    hello->out_size = 0;
    char *at = say(hello, KIND_REFUSED, 4 + size);
    tp_put_bytes(tp_put_32(at, (uint32_t)status), troupe_slice_of(text, size));
}

static void set_reason(tp_hello *hello, const char *format, ...) TROUPE_PRINTF(2, 3);

static void set_reason(tp_hello *hello, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    tp_text text;
    tp_text_init(&text, hello->reason, sizeof hello->reason);
    tp_text_vprintf(&text, format, list);
    va_end(list);
}

tp_hello_event tp_hello_refuse(tp_hello *hello, troupe_status status, const char *text)
{
    if (text != hello->reason)
        set_reason(hello, "%s", text);
    say_refused(hello, status, text);
    return end_refused(hello, status);
}

/* Garbage gets no answer. */
static tp_hello_event refuse_garbage(tp_hello *hello, const char *what)
{
    set_reason(hello, "the hello makes no sense: %s", what);
    hello->out_size = 0;
    return end_refused(hello, TROUPE_CORRUPT);
}

/* False: no memory. */
TROUPE_CHECK static bool make_proof(
    const tp_hello *hello, bool of_client, const char *body, size_t size, unsigned char *ret_proof)
{
    char all[sizeof hello->said + TP_HELLO_BODY_MAX + 16];
    char *at =
        tp_put_bytes(all, of_client ? troupe_str("troupe client") : troupe_str("troupe server"));
    at = tp_put_bytes(at, troupe_slice_of(hello->said, hello->said_size));
    at = tp_put_bytes(at, troupe_slice_of(body, size));
    troupe_slice token = hello->options.token;
    unsigned proof_size = 0;
    const void *made = HMAC(EVP_sha256(), token.size != 0 ? token.data : "", (int)token.size,
        (const unsigned char *)all, (size_t)(at - all), ret_proof, &proof_size);
    OPENSSL_cleanse(all, sizeof all);
    return made != NULL && proof_size == TP_HELLO_PROOF_BYTES;
}

static char *put_short(char *at, troupe_slice text)
{
    return tp_put_bytes(tp_put_8(at, (unsigned)text.size), text);
}

static void say_hello(tp_hello *hello)
{
    const tp_hello_side *self = &hello->options.self;
    size_t size = 5 * 8 + 4 + 3 * 2 + 1 + hello->options.cluster.size + 1 + self->node.size + 1 +
                  self->address.size;
    char *body = say(hello, KIND_HELLO, size + TP_HELLO_PROOF_BYTES), *at = body;
    at = tp_put_64(at, self->incarnation);
    at = tp_put_64(at, hello->options.peer);
    at = tp_put_64(at, self->view);
    at = tp_put_64(at, self->features);
    at = tp_put_64(at, self->received);
    at = tp_put_32(at, self->max_frame);
    at = tp_put_16(tp_put_16(tp_put_16(at, self->shard), self->shards), self->link);
    at = put_short(at, hello->options.cluster);
    at = put_short(at, self->node);
    at = put_short(at, self->address);
    /* Without memory for it the peer gets one that it refuses. */
    if (!make_proof(hello, hello->is_client, body, size, (unsigned char *)at))
        memset(at, 0, TP_HELLO_PROOF_BYTES);
    note(hello, body, size + TP_HELLO_PROOF_BYTES);
    hello->state = TP_HELLO_AWAITS_HELLO;
}

static void init(tp_hello *hello, const tp_hello_options *options)
{
    memset(hello, 0, sizeof *hello);
    hello->options = *options;
    if (hello->options.newest == 0) {
        hello->options.oldest = TP_WIRE_VERSION_OLDEST;
        hello->options.newest = TP_WIRE_VERSION;
    }
    TP_ASSERT(options->cluster.size - 1 < TP_NAME_MAX && options->self.node.size <= TP_NAME_MAX &&
              options->self.address.size <= TP_HELLO_ADDRESS_MAX &&
              options->token.size <= TP_HELLO_TOKEN_MAX);
    char preamble[TP_PREAMBLE_BYTES];
    tp_preamble_put(preamble, options->preamble);
    note(hello, preamble, sizeof preamble);
}

void tp_hello_init_client(tp_hello *hello, const tp_hello_options *options)
{
    init(hello, options);
    hello->is_client = true;
    hello->state = TP_HELLO_AWAITS_CHALLENGE;
    tp_preamble_put(hello->out, options->preamble);
    hello->out_size = TP_PREAMBLE_BYTES;
    char *body = say(hello, KIND_OPEN, OPEN_BYTES);
    char *at = tp_put_16(tp_put_16(body, hello->options.oldest), hello->options.newest);
    tp_put_bytes(at, troupe_slice_of(options->nonce, TP_HELLO_NONCE_BYTES));
    note(hello, body, OPEN_BYTES);
}

void tp_hello_init_server(tp_hello *hello, const tp_hello_options *options)
{
    init(hello, options);
    hello->state = TP_HELLO_AWAITS_OPEN;
}

void tp_hello_skip_preamble(tp_hello *hello)
{
    TP_ASSERT(hello->is_client && hello->state == TP_HELLO_AWAITS_CHALLENGE &&
              hello->out_size > TP_PREAMBLE_BYTES);
    hello->out_size -= TP_PREAMBLE_BYTES;
    memmove(hello->out, hello->out + TP_PREAMBLE_BYTES, hello->out_size);
}

bool tp_hello_take(tp_hello *hello, troupe_slice *ret_bytes)
{
    if (hello->out_size == 0)
        return false;
    *ret_bytes = troupe_slice_of(hello->out, hello->out_size);
    hello->out_size = 0;
    return true;
}

/* ---- hearing -------------------------------------------------------------------------------- */

static tp_hello_event hear_open(tp_hello *hello, troupe_slice body)
{
    if (body.size < OPEN_BYTES)
        return refuse_garbage(hello, "an OPEN that is cut");
    tp_in in = tp_in_of(body.data, body.size);
    unsigned oldest = tp_in_16(&in), newest = tp_in_16(&in);
    unsigned own_oldest = hello->options.oldest, own_newest = hello->options.newest;
    unsigned version = newest < own_newest ? newest : own_newest;
    if (oldest > newest || version < oldest || version < own_oldest) {
        set_reason(hello,
            "it speaks wire versions %u to %u, this node %u to %u: update the older of the two, "
            "one "
            "version at a time",
            oldest, newest, own_oldest, own_newest);
        return tp_hello_refuse(hello, TROUPE_UNAVAILABLE, hello->reason);
    }
    note(hello, body.data, body.size);
    hello->version = (uint16_t)version;
    char *answer = say(hello, KIND_CHALLENGE, CHALLENGE_BYTES);
    tp_put_bytes(
        tp_put_16(answer, version), troupe_slice_of(hello->options.nonce, TP_HELLO_NONCE_BYTES));
    note(hello, answer, CHALLENGE_BYTES);
    hello->state = TP_HELLO_AWAITS_HELLO;
    return TP_HELLO_MORE;
}

static tp_hello_event hear_challenge(tp_hello *hello, troupe_slice body)
{
    if (body.size < CHALLENGE_BYTES)
        return refuse_garbage(hello, "a CHALLENGE that is cut");
    hello->version = (uint16_t)tp_get_number(body.data, 2);
    if (hello->version < hello->options.oldest || hello->version > hello->options.newest)
        return refuse_garbage(hello, "it chose a version that was not offered");
    note(hello, body.data, body.size);
    say_hello(hello);
    return TP_HELLO_MORE;
}

static const char *get_side(tp_hello *hello, tp_in *in, troupe_slice *ret_cluster)
{
    tp_hello_side *peer = &hello->peer;
    peer->incarnation = tp_in_64(in);
    hello->wanted = tp_in_64(in);
    peer->view = tp_in_64(in);
    peer->features = tp_in_64(in);
    peer->received = tp_in_64(in);
    peer->max_frame = tp_in_32(in);
    peer->shard = tp_in_16(in);
    peer->shards = tp_in_16(in);
    peer->link = tp_in_16(in);
    *ret_cluster = tp_in_bytes(in, tp_in_8(in));
    troupe_slice node = tp_in_bytes(in, tp_in_8(in));
    troupe_slice address = tp_in_bytes(in, tp_in_8(in));
    if (in->short_of)
        return "a HELLO that is cut";
    if (ret_cluster->size == 0 || ret_cluster->size > TP_NAME_MAX || node.size == 0 ||
        node.size > TP_NAME_MAX)
        return "a name that is empty or too long";
    if (peer->shards == 0 || (peer->shard >= peer->shards && peer->shard != TP_SHARD_CONTROL))
        return "a shard that it does not have";
    char *end = tp_put_bytes(hello->names, node);
    tp_put_bytes(end, address);
    peer->node = troupe_slice_of(hello->names, node.size);
    peer->address = troupe_slice_of(end, address.size);
    return NULL;
}

static bool is_printable(troupe_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = ((const unsigned char *)text.data)[i];
        if (c < 0x20 || c > 0x7e)
            return false;
    }
    return true;
}

static tp_hello_event refuse_cluster(tp_hello *hello, troupe_slice cluster)
{
    if (!is_printable(cluster))
        cluster = troupe_str("?");
    set_reason(hello, "it is of cluster '%.*s', this node of '%.*s': check `cluster` of both",
        TROUPE_ARG(cluster), TROUPE_ARG(hello->options.cluster));
    say_refused(hello, TROUPE_DENIED, "you are of another cluster: check `cluster` of both nodes");
    return end_refused(hello, TROUPE_DENIED);
}

/* What leaves before it is known what a peer takes is as large as every node takes. */
static tp_hello_event refuse_narrow(tp_hello *hello)
{
    const tp_hello_side *peer = &hello->peer;
    troupe_slice name = is_printable(peer->node) ? peer->node : troupe_str("?");
    set_reason(hello, "'%.*s' takes frames of %u bytes, each node takes %u at least",
        TROUPE_ARG(name), peer->max_frame, TP_SESSION_SURE_FRAME);
    return tp_hello_refuse(hello, TROUPE_DENIED, hello->reason);
}

static tp_hello_event hear_hello(tp_hello *hello, troupe_slice body)
{
    if (body.size < TP_HELLO_PROOF_BYTES)
        return refuse_garbage(hello, "a HELLO that is cut");
    size_t size = body.size - TP_HELLO_PROOF_BYTES;
    tp_in in = tp_in_of(body.data, size); /* what follows the address is of later versions */
    troupe_slice cluster = {NULL, 0};
    const char *fault = get_side(hello, &in, &cluster);
    if (fault != NULL)
        return refuse_garbage(hello, fault);
    if (!troupe_slice_equal(cluster, hello->options.cluster))
        return refuse_cluster(hello, cluster);
    unsigned char proof[TP_HELLO_PROOF_BYTES];
    if (!make_proof(hello, !hello->is_client, body.data, size, proof))
        return tp_hello_refuse(hello, TROUPE_NO_MEMORY, "no memory to check your proof");
    if (CRYPTO_memcmp(proof, (const char *)body.data + size, sizeof proof) != 0) {
        set_reason(hello, "its token is not that of this cluster: check `cluster_token` of both");
        say_refused(
            hello, TROUPE_DENIED, "your token is not that of the cluster: check `cluster_token`");
        return end_refused(hello, TROUPE_DENIED);
    }
    if (hello->peer.max_frame < TP_SESSION_SURE_FRAME)
        return refuse_narrow(hello);
    if (!hello->is_client)
        note(hello, body.data, body.size);
    uint64_t own = hello->options.self.incarnation;
    if (hello->wanted != 0 && hello->wanted != own) {
        set_reason(hello,
            "it looks for incarnation %llu, this node is %llu: it has an older view, or this node "
            "has started anew",
            (unsigned long long)hello->wanted, (unsigned long long)own);
        return tp_hello_refuse(hello, TROUPE_NOT_FOUND, hello->reason);
    }
    if (hello->options.peer != 0 && hello->peer.incarnation != hello->options.peer) {
        set_reason(hello,
            "at this address is incarnation %llu, looked for was %llu: it has started anew",
            (unsigned long long)hello->peer.incarnation, (unsigned long long)hello->options.peer);
        return tp_hello_refuse(hello, TROUPE_NOT_FOUND, hello->reason);
    }
    hello->state = TP_HELLO_AT_JUDGE;
    return TP_HELLO_JUDGE;
}

static tp_hello_event hear_refused(tp_hello *hello, troupe_slice body)
{
    if (body.size < 4)
        return refuse_garbage(hello, "a REFUSED that is cut");
    tp_in in = tp_in_of(body.data, body.size);
    troupe_status status = (troupe_status)tp_in_32(&in);
    troupe_slice text = tp_in_rest(&in);
    if (!is_printable(text))
        text = troupe_str("(words that cannot be shown)");
    hello->refused_by_peer = true;
    hello->out_size = 0;
    set_reason(hello, "it refused this node: %.*s", TROUPE_ARG(text));
    return end_refused(hello, status != TROUPE_OK ? status : TROUPE_DENIED);
}

static tp_hello_event hear(tp_hello *hello, unsigned kind, troupe_slice body)
{
    if (kind == KIND_REFUSED && (hello->is_client || hello->state == TP_HELLO_AWAITS_HELLO))
        return hear_refused(hello, body);
    switch (hello->state) {
    case TP_HELLO_AWAITS_OPEN:
        return kind == KIND_OPEN ? hear_open(hello, body)
                                 : refuse_garbage(hello, "no OPEN where one must be");
    case TP_HELLO_AWAITS_CHALLENGE:
        return kind == KIND_CHALLENGE ? hear_challenge(hello, body)
                                      : refuse_garbage(hello, "no CHALLENGE where one must be");
    default:
        return kind == KIND_HELLO ? hear_hello(hello, body)
                                  : refuse_garbage(hello, "no HELLO where one must be");
    }
}

static tp_hello_event event_of(const tp_hello *hello)
{
    switch (hello->state) {
    case TP_HELLO_AT_JUDGE:
        return TP_HELLO_JUDGE;
    case TP_HELLO_AT_END:
        return TP_HELLO_DONE;
    case TP_HELLO_AT_REFUSAL:
        return TP_HELLO_REFUSED;
    default:
        return TP_HELLO_MORE;
    }
}

/* How many bytes the message that has begun needs in all; 0: it cannot be one. */
static size_t message_size(const tp_hello *hello)
{
    if (hello->in_size < HEAD)
        return HEAD;
    uint32_t head = (uint32_t)tp_get_number(hello->in, 4);
    size_t size = head >> 16;
    if ((head & 0xff) - KIND_OPEN > KIND_REFUSED - KIND_OPEN || (head & 0xff00) != 0 ||
        size > TP_HELLO_BODY_MAX)
        return 0;
    return HEAD + size;
}

tp_hello_event tp_hello_feed(tp_hello *hello, const void *bytes, size_t size, size_t *ret_used)
{
    const char *at = bytes, *end = at + size;
    tp_hello_event event = event_of(hello);
    while (event == TP_HELLO_MORE) {
        size_t whole = message_size(hello);
        if (whole == 0) {
            event = refuse_garbage(hello, "bytes that are no message of it");
            break;
        }
        if (hello->in_size >= HEAD && hello->in_size == whole) {
            unsigned kind = (unsigned char)hello->in[0];
            hello->in_size = 0;
            event = hear(hello, kind, troupe_slice_of(hello->in + HEAD, whole - HEAD));
            /* One message at a time: each is answered before the next can come. */
            continue;
        }
        size_t take = whole - hello->in_size;
        if (at == end)
            break;
        if (take > (size_t)(end - at))
            take = (size_t)(end - at);
        memcpy(hello->in + hello->in_size, at, take);
        hello->in_size += take;
        at += take;
    }
    *ret_used = (size_t)(at - (const char *)bytes);
    return event;
}

tp_hello_event tp_hello_accept(tp_hello *hello, uint64_t received)
{
    TP_ASSERT(hello->state == TP_HELLO_AT_JUDGE);
    if (!hello->is_client) {
        hello->options.self.received = received;
        hello->options.peer = hello->peer.incarnation;
        say_hello(hello);
    }
    hello->state = TP_HELLO_AT_END;
    return TP_HELLO_DONE;
}
