/**
 * The methods of a client, over a transport.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Codec from "../../Codec.js"
import type {
  Answer,
  At,
  Dictionary,
  Expiration as Expires,
  ExpireTime,
  Failure,
  IncrementOptions,
  Key,
  KtCompat,
  MatchOptions,
  Options,
  WriteOptions
} from "../../KtCompat.js"
import type { KtError } from "../../KtError.js"
import * as KtTransport from "../../KtTransport.js"
import type { InvalidKey } from "../../StorageError.js"
import { andThen, forEach, mapStream, missed } from "../done.js"
import { none, utf8 } from "../kt/bytes.js"
import { keep, never, toXt, xtMax } from "../kt/expiry.js"
import { withNow } from "../storage/compat.js"
import { lastingContext } from "../storage/transactions.js"
import { provided } from "../store/codecs.js"
import { container, takingOut, whole } from "./containers.js"
import { makeCursor } from "./cursor.js"
import { makeHash } from "./hash.js"
import { makeList } from "./list.js"
import { makeQueue } from "./queue.js"
import { makeSchedule } from "./schedule.js"
import { readDict, readList, writeDict, writeList } from "./serialized.js"
import { makeSet } from "./set.js"
import {
  anyKey,
  at,
  byteKeys,
  decodePairs,
  encodePairs,
  entriesOf,
  Expiration,
  expirationOf,
  expiryOf,
  type Keys,
  named,
  nowhere,
  refuse,
  textKeys,
  timeAt,
  timeoutOf,
  type Values,
  valuesOf
} from "./values.js"

interface Parts<K, A> {
  readonly transport: KtTransport.KtTransport["Type"]
  readonly keys: Keys<K>
  readonly values: Values<A>
  readonly db: KtTransport.Database
}

const integer = /^-?\d+$/
const decimal = /^-?\d+\.\d+$/

/** What is a number among what a server tells. */
const parsed = (fields: ReadonlyMap<string, string>): Readonly<Record<string, string | number>> =>
  Object.fromEntries(
    Array.from(fields, ([name, value]) => [name, integer.test(value) || decimal.test(value) ? Number(value) : value])
  )

/** A number for a counter of 64 bits. */
const bigintOf = (method: string, value: number | bigint): Effect.Effect<bigint, KtError> =>
  typeof value === "bigint"
    ? Effect.succeed(value)
    : Number.isSafeInteger(value)
    ? Effect.succeed(BigInt(value))
    : Effect.fail(refuse(method, `${String(value)} is not a whole number up to 2^53 - 1; give a bigint`))

const nanos = (time: DateTime.DateTime): bigint => BigInt(Math.trunc(time.epochMillis)) * 1_000_000n

const makeClient = <K extends Key, A>(parts: Parts<K, A>): KtCompat<K, A> => {
  const { db, keys, transport, values } = parts
  const dbOf = (options: At | undefined): KtTransport.Database => options?.db ?? db

  // --- What methods are given ---

  const withKey = <B, E>(key: K, use: (key: Uint8Array) => Effect.Effect<B, E>): Effect.Effect<B, E | InvalidKey> =>
    andThen(keys.encode(key), use)
  const withValue = <B>(
    key: K,
    value: A,
    use: (key: Uint8Array, value: Uint8Array) => Effect.Effect<B, Failure>
  ): Effect.Effect<B, Failure> =>
    andThen(keys.encode(key), (bytes) => andThen(values.encode(value, at(key)), (value) => use(bytes, value)))
  const withExpiry = <B>(
    method: string,
    options: WriteOptions | undefined,
    unsaid: KtTransport.Expiry,
    use: (expiry: KtTransport.Expiry) => Effect.Effect<B, Failure>
  ): Effect.Effect<B, Failure> => {
    if (options?.expireTime === undefined) return use(unsaid)
    const expiry = expiryOf(method, options.expireTime, unsaid)
    return Either.isRight(expiry) ? use(expiry.right) : Effect.fail(expiry.left)
  }
  /** A method that writes one value. */
  const writing = <B>(
    method: string,
    unsaid: KtTransport.Expiry,
    write: (
      db: KtTransport.Database,
      key: Uint8Array,
      value: Uint8Array,
      expiry: KtTransport.Expiry
    ) => Effect.Effect<B, Failure>
  ) =>
  (key: K, value: A, options?: WriteOptions): Effect.Effect<B, Failure> =>
    withExpiry(
      method,
      options,
      unsaid,
      (expiry) => withValue(key, value, (key, value) => write(dbOf(options), key, value, expiry))
    )
  const encodeKeys = (all: Iterable<K>) => forEach(all, keys.encode)
  const decodeKeys = (all: Iterable<Uint8Array>): Effect.Effect<ReadonlyArray<K>, Failure> => forEach(all, keys.decode)
  const addresses = (all: Iterable<readonly [KtTransport.Database, K]>) =>
    forEach(all, ([db, key]) => andThen(keys.encode(key), (key) => Exit.succeed<KtTransport.Address>({ db, key })))
  const addressesIn = (all: Iterable<K>, options: At | undefined) => {
    const db = dbOf(options)
    return addresses(Array.from(all, (key) => [db, key] as const))
  }
  const matching = <B extends MatchOptions>(
    match: (db: KtTransport.Database, max: number) => Effect.Effect<ReadonlyArray<Uint8Array>, Failure>,
    options: B | undefined
  ): Effect.Effect<ReadonlyArray<K>, Failure> =>
    Effect.zipRight(
      whole("match", "max", options?.max, 0),
      Effect.flatMap(match(dbOf(options), options?.max ?? Infinity), decodeKeys)
    )

  // --- Methods that others stand on ---

  const decodeAt = (key: Key, stored: Uint8Array): Effect.Effect<Option.Option<A>, Failure> =>
    andThen(values.decode(stored, at(key)), (value) => Exit.succeed(Option.some(value)))
  const read = (key: K, found: Option.Option<KtTransport.Stored>): Effect.Effect<Option.Option<A>, Failure> =>
    Option.isNone(found) ? Effect.succeedNone : decodeAt(key, found.value.value)

  const getBytes = (key: K, options?: At) =>
    withKey(key, (key) => Effect.map(transport.get(dbOf(options), key), Option.map(({ value }) => value)))
  const setBulk = (all: Dictionary<K, A>, options?: WriteOptions): Effect.Effect<number, Failure> =>
    withExpiry("setBulk", options, never, (expiry) => {
      const db = dbOf(options)
      return Effect.flatMap(
        forEach(
          entriesOf(all),
          ([key, value]) =>
            andThen(
              anyKey(key),
              (bytes) =>
                andThen(values.encode(value, at(key)), (value) =>
                  Exit.succeed<KtTransport.Item>({ db, expiry, key: bytes, value }))
            )
        ),
        (items) => Effect.as(transport.setMany(items), items.length)
      )
    })
  const seize = (key: K, options?: At): Effect.Effect<Option.Option<A>, Failure> =>
    withKey(key, (bytes) =>
      takingOut(
        () => transport.seize(dbOf(options), bytes),
        (found) => read(key, found),
        (found) => Option.isNone(found) ? Effect.void : putBack(dbOf(options), { ...found.value, key: bytes })
      ))
  /** What was taken out and cannot be decoded, unless there is something else by now. */
  const putBack = (db: KtTransport.Database, { expiresAt, key, value }: KtTransport.Entry) =>
    transport.add(db, key, value, expiresAt === undefined ? never : { _tag: "At", millis: expiresAt })

  /** Touches records; of those that are there, what the transport told. */
  const touchMany = (
    all: Iterable<K>,
    touch: (
      bytes: ReadonlyArray<Uint8Array>
    ) => Effect.Effect<ReadonlyArray<Option.Option<Pick<KtTransport.Stored, "expiresAt">>>, Failure>
  ): Effect.Effect<ReadonlyMap<K, Expires>, Failure> => {
    const given = Array.from(all)
    return Effect.flatMap(
      encodeKeys(given),
      (bytes) =>
        Effect.map(touch(bytes), (touched) =>
          new Map(given.flatMap((key, i) => {
            const told = touched[i]
            return told === undefined || Option.isNone(told) ? [] : [[key, expirationOf(told.value.expiresAt)] as const]
          })))
    )
  }
  const touching = (all: Iterable<K>, expireTime?: ExpireTime, options?: At) =>
    withExpiry(
      "touch",
      { expireTime },
      never,
      (expiry) => touchMany(all, (keys) => transport.touch(dbOf(options), keys, expiry))
    )
  const touchingRelative = (all: Iterable<K>, seconds: number, options?: At) =>
    Number.isFinite(seconds)
      ? touchMany(all, (keys) => transport.touchRelative(dbOf(options), keys, seconds * 1000))
      : Effect.fail(refuse("touchRelative", `${String(seconds)} is no number of seconds`))
  const only = (key: K) => (touched: ReadonlyMap<K, Expires>) => touched.get(key) ?? Expiration.Missing()

  const status = (options?: At) => Effect.map(transport.status(dbOf(options)), parsed)
  const field = (name: string) => (options?: At) => Effect.map(status(options), (fields) => Number(fields[name]))
  const databases = Effect.map(transport.databases, Arr.map(({ path }) => path))

  return {
    add: writing("add", never, transport.add),
    append: (key, value, options) =>
      values.appends
        ? writing("append", keep, transport.append)(key, value, options)
        : Effect.fail(
          refuse("append", "two values in a row are no value of this serializer; use `binary` or `none` (withValues)")
        ),
    cas: (key, expected, next, options) =>
      withExpiry("cas", options, keep, (expiry) => {
        const encode = (value: Option.Option<A>): Effect.Effect<Option.Option<Uint8Array>, Failure> =>
          Option.isNone(value)
            ? Effect.succeedNone
            : Effect.map(values.encode(value.value, at(key)), Option.some)
        return withKey(key, (key) =>
          Effect.flatMap(encode(expected), (expected) =>
            Effect.flatMap(encode(next), (next) =>
              transport.cas(dbOf(options), key, expected, next, expiry))))
      }),
    changes: ({ follow = false, since = 0n } = {}) =>
      transport.changes(typeof since === "bigint" ? since : nanos(since), follow),
    clear: (options) => transport.clear(dbOf(options)),
    count: field("count"),
    cursor: (options) => {
      const db = dbOf(options)
      return Effect.map(
        transport.cursor(db),
        (cursor) => makeCursor(cursor, keys, values, (entry) => putBack(db, entry))
      )
    },
    databases,
    deserializeDict: (bytes) => readDict(values, bytes, nowhere),
    deserializeList: (bytes) => readList(values, bytes, nowhere),
    error: transport.lastError,
    exists: (key, options) => withKey(key, (key) => Effect.map(transport.head(dbOf(options), key), Option.isSome)),
    expireTime: (key, options) =>
      withKey(key, (key) =>
        Effect.map(
          transport.head(dbOf(options), key),
          Option.map(({ expiresAt }) => {
            const xt = toXt(expiresAt)
            return xt === xtMax ? Infinity : xt
          })
        )),
    expires: (key, options) =>
      withKey(key, (key) =>
        Effect.map(
          transport.head(dbOf(options), key),
          (found) => Option.isNone(found) ? Expiration.Missing() : expirationOf(found.value.expiresAt)
        )),
    get: (key, options) =>
      withKey(key, (bytes) => Effect.flatMap(transport.get(dbOf(options), bytes), (found) => read(key, found))),
    getBulk: (all, options) => {
      const given = Array.from(all)
      return Effect.flatMap(
        addressesIn(given, options),
        (addresses) =>
          Effect.flatMap(transport.getMany(addresses), (found) =>
            Effect.map(
              forEach(given.entries(), ([i, key]) => {
                const stored = found[i]
                return stored === undefined || Option.isNone(stored)
                  ? Exit.succeed<typeof missed>(missed)
                  : andThen(values.decode(stored.value.value, at(key)), (value) => Exit.succeed([key, value] as const))
              }),
              (all) => new Map(all)
            ))
      )
    },
    getBulkDetails: (all) => {
      const given = Array.from(all)
      return Effect.flatMap(
        addresses(given),
        (addresses) =>
          Effect.flatMap(transport.getMany(addresses), (found) =>
            forEach(given.entries(), ([i, [db, key]]) => {
              const stored = found[i]
              if (stored === undefined || Option.isNone(stored)) return Exit.succeed<typeof missed>(missed)
              const { expiresAt, value } = stored.value
              const expires = Option.map(Option.fromNullable(expiresAt), timeAt)
              return andThen(values.decode(value, at(key)), (value) => Exit.succeed({ db, expires, key, value }))
            }))
      )
    },
    getBytes,
    Hash: (key, options) => makeHash(container(transport, dbOf(options), key, values)),
    increment: (key, by = 1, options) =>
      incrementing(
        "increment",
        options,
        (expiry, orig) =>
          withKey(key, (key) =>
            Effect.flatMap(bigintOf("increment", by), (by) =>
              typeof orig === "string"
                ? transport.increment(dbOf(options), key, by, orig, expiry)
                : Effect.flatMap(
                  bigintOf("increment", orig),
                  (orig) => transport.increment(dbOf(options), key, by, orig, expiry)
                )))
      ),
    incrementDouble: (key, by = 1, options) =>
      incrementing(
        "incrementDouble",
        options,
        (expiry, orig) => withKey(key, (key) => transport.incrementDouble(dbOf(options), key, by, orig, expiry))
      ),
    items: (options) =>
      mapStream(
        transport.entries(dbOf(options)),
        ({ key, value }) =>
          andThen(keys.decode(key), (key) =>
            andThen(values.decode(value, at(key)), (value) => Exit.succeed([key, value] as const)))
      ),
    keys: (options) => mapStream(transport.keys(dbOf(options)), keys.decode),
    keysNonlazy: (options) => Effect.flatMap(transport.matchPrefix(dbOf(options), none, Infinity), decodeKeys),
    length: (key, options) =>
      withKey(key, (key) => Effect.map(transport.get(dbOf(options), key), Option.map(({ value }) => value.length))),
    List: (key, options) => makeList(container(transport, dbOf(options), key, values)),
    listDatabases: Effect.flatMap(
      databases,
      (paths) => Effect.forEach(paths, (path, db) => Effect.map(status({ db }), (status) => [path, status] as const))
    ),
    matchPrefix: (prefix, options) =>
      withKey(prefix, (prefix) => matching((db, max) => transport.matchPrefix(db, prefix, max), options)),
    matchRegex: (regex, options) =>
      andThen(anyKey(regex), (regex) => matching((db, max) => transport.matchRegex(db, regex, max), options)),
    matchSimilar: (origin, options) =>
      Effect.zipRight(
        whole("matchSimilar", "a distance", options?.distance, 0),
        withKey(origin, (origin) =>
          matching(
            (db, max) => transport.matchSimilar(db, origin, options?.distance ?? 1, keys.similarBy, max),
            options
          ))
      ),
    pop: seize,
    Queue: (key, options) => makeQueue(container(transport, dbOf(options), key, values)),
    rawScript: (name, data = [], options) =>
      Effect.flatMap(
        forEach(entriesOf(data), ([name, value]) =>
          andThen(anyKey(name), (name) =>
            andThen(anyKey(value), (value) => Exit.succeed([name, value] as const)))),
        (data) =>
          Effect.flatMap(transport.call({ data, db: dbOf(options), name }), named)
      ),
    remove: (key, options) => withKey(key, (key) => transport.remove(dbOf(options), key)),
    removeBulk: (all, options) => Effect.flatMap(addressesIn(all, options), transport.removeMany),
    removeBulkDetails: (all) => Effect.flatMap(addresses(all), transport.removeMany),
    replace: writing("replace", never, transport.replace),
    report: Effect.map(transport.report, parsed),
    Schedule: (key, options) => makeSchedule(container(transport, dbOf(options), key, values)),
    script: (name, data = [], options) =>
      Effect.flatMap(encodePairs(values, data, at(name)), (data) =>
        Effect.flatMap(
          transport.call({ data, db: dbOf(options), name }),
          (pairs) => decodePairs(values, pairs, at(name))
        )),
    seize,
    serializeDict: (all) => writeDict(values, all, nowhere),
    serializeList: (all) => writeList(values, all, nowhere),
    Set: (key, options) => makeSet(container(transport, dbOf(options), key, values)),
    set: writing("set", never, transport.set),
    setBulk,
    setBulkDetails: (all) =>
      Effect.flatMap(
        forEach(all, (record) =>
          withExpiry("setBulkDetails", record, never, (expiry) =>
            withValue(
              record.key,
              record.value,
              (key, value) => Exit.succeed<KtTransport.Item>({ db: dbOf(record), expiry, key, value })
            ))),
        (items) => Effect.as(transport.setMany(items), items.length)
      ),
    setBytes: (key, value, options) =>
      withExpiry(
        "setBytes",
        options,
        never,
        (expiry) =>
          withKey(key, (key) =>
            Effect.flatMap(Codec.bytes.encode(value, nowhere), () =>
              transport.set(dbOf(options), key, value, expiry)))
      ),
    setDatabase: (db) => makeClient({ ...parts, db }),
    signal: (condition, options) => transport.signal(condition, options?.all ?? false),
    size: field("size"),
    status,
    synchronize: (options) => transport.synchronize(dbOf(options), options?.hard ?? false),
    touch: (key, expireTime, options) => Effect.map(touching([key], expireTime, options), only(key)),
    touchBulk: touching,
    touchBulkRelative: touchingRelative,
    touchRelative: (key, seconds, options) => Effect.map(touchingRelative([key], seconds, options), only(key)),
    ulogList: Effect.map(transport.ulogList, (files) =>
      files.map(({ bytes, latest, path }) => ({
        bytes,
        latest: latest === 0n ? Option.none() : Option.some(timeAt(Number(latest / 1_000_000n))),
        path
      }))),
    ulogRemove: (until) =>
      until === undefined
        ? withNow((now) => transport.ulogRemove(BigInt(Math.trunc(now)) * 1_000_000n))
        : transport.ulogRemove(nanos(until)),
    update: setBulk,
    vacuum: (options) => transport.vacuum(dbOf(options)),
    values: (options) =>
      mapStream(
        transport.entries(dbOf(options)),
        ({ key, value }) => values.decode(value, at(key))
      ),
    wait: (condition, timeout = "30 seconds") =>
      andThen(timeoutOf("wait", timeout), (millis) => transport.wait(condition, millis)),
    withValues: <B, I>(given: Schema.Schema<B, I> | Codec.Codec<B>) => {
      const codec = codecOf(given)
      return makeClient({ ...parts, values: valuesOf(provided(codec, Context.empty()), codec) })
    }
  }

  function incrementing<N, B>(
    method: string,
    options: IncrementOptions<N> | undefined,
    use: (expiry: KtTransport.Expiry, orig: KtTransport.Origin<N | 0>) => Effect.Effect<B, Failure>
  ): Effect.Effect<B, Failure> {
    return withExpiry(method, options, keep, (expiry) => use(expiry, options?.orig ?? 0))
  }
}

const codecOf = <A, I, R>(values: Schema.Schema<A, I, R> | Codec.Codec<A, R>): Codec.Codec<A, R> =>
  Codec.TypeId in values ? values : Codec.json(values)

const open = <K extends Key, A, R>(
  keys: Keys<K>,
  codec: Codec.Codec<A, R>,
  db: KtTransport.Database
): Effect.Effect<KtCompat<K, A>, never, KtTransport.KtTransport | R> =>
  Effect.gen(function*() {
    const transport = yield* KtTransport.KtTransport
    const values = valuesOf(provided(codec, yield* lastingContext<R>()), codec)
    return makeClient({ db, keys, transport, values })
  })

/** Text needs nothing, and nothing can go wrong with it that would have to be caught. */
const openText = <K extends Key>(keys: Keys<K>, db: KtTransport.Database): Client<K, string> =>
  Effect.map(
    KtTransport.KtTransport,
    (transport) => makeClient({ db, keys, transport, values: valuesOf(Codec.text, Codec.text) })
  )

type Given<A, I, R> = Options<A, I, R> & { readonly value: Schema.Schema<A, I, R> | Codec.Codec<A, R> }
type Client<K extends Key, A, R = never> = Effect.Effect<KtCompat<K, A>, never, KtTransport.KtTransport | R>

/** @internal */
export function make(options?: Options<string, string, never>): Client<string, string>
export function make<A, I, R>(options: Given<A, I, R>): Client<string, A, R>
export function make<A, I, R>({ db = 0, value }: Options<A, I, R> = {}) {
  // @effect-diagnostics-next-line missingEffectContext:off
  return value === undefined ? openText(textKeys, db) : open(textKeys, codecOf(value), db)
}

/** @internal */
export function makeBytes(options?: Options<string, string, never>): Client<Uint8Array, string>
export function makeBytes<A, I, R>(options: Given<A, I, R>): Client<Uint8Array, A, R>
export function makeBytes<A, I, R>({ db = 0, value }: Options<A, I, R> = {}) {
  // @effect-diagnostics-next-line missingEffectContext:off
  return value === undefined ? openText(byteKeys, db) : open(byteKeys, codecOf(value), db)
}

// --- Procedures ---

const answered = (answer: Answer[string]): Uint8Array | undefined =>
  answer === undefined || answer instanceof Uint8Array ? answer : utf8(String(answer))

/** @internal */
export const procedure = <E, R>(
  name: string,
  handler: (
    input: ReadonlyMap<string, Uint8Array>,
    kt: KtCompat<string, Uint8Array>
  ) => Effect.Effect<Answer, E, R>
): KtTransport.Procedure<R> => ({
  name,
  run: (transport, data, db) => {
    const kt = makeClient({ db, keys: textKeys, transport, values: valuesOf(Codec.bytes, Codec.bytes) })
    return Effect.map(
      Effect.flatMap(named(data), (input) => handler(input, kt)),
      (answer) =>
        Object.entries(answer).flatMap(([name, value]): ReadonlyArray<KtTransport.Pair> => {
          const bytes = answered(value)
          return bytes === undefined ? [] : [[utf8(name), bytes]]
        })
    )
  }
})
