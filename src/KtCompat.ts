/**
 * The client API of Kyoto Tycoon: records with expiry in numbered databases, counters, matching, cursors, hashes, lists,
 * sets, queues, schedules and procedures.
 *
 * It talks to a `KtTransport`: the databases themselves, in this process and on any `Storage`, or a server.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Codec from "./Codec.js"
import * as internal from "./internal/ktCompat/client.js"
import * as values from "./internal/ktCompat/values.js"
import type { KtError } from "./KtError.js"
import * as KtTransport from "./KtTransport.js"
import type { StorageError } from "./StorageError.js"

/**
 * What any method may fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type Failure = KtTransport.Failure | Codec.CodecError

/**
 * A key: text, which is kept in UTF-8, or bytes; at most 2,048 bytes.
 *
 * @since 0.1.0
 * @category models
 */
export type Key = string | Uint8Array

// --- Values ---

/**
 * Values as text, in UTF-8: the default. What is stored and is not UTF-8 fails as `CodecError` when it is read;
 * `getBytes` reads it.
 *
 * @since 0.1.0
 * @category serializers
 */
export const binary: Codec.Codec<string> = Codec.text

/**
 * Values as JSON, in UTF-8 and with sorted members. A `Schema` in the place of a serializer is JSON too.
 *
 * @since 0.1.0
 * @category serializers
 */
export const json: Codec.Codec<unknown> = Codec.json(Schema.Unknown)

/**
 * Values as MessagePack.
 *
 * @since 0.1.0
 * @category serializers
 */
export const msgpack: Codec.Codec<unknown> = Codec.msgpack(Schema.Unknown)

/**
 * Values as bytes, as they are.
 *
 * @since 0.1.0
 * @category serializers
 */
export const none: Codec.Codec<Uint8Array> = Codec.bytes

// --- Expiry ---

/**
 * The number that the original's methods take for an expire time. Made by `expire`.
 *
 * @since 0.1.0
 * @category expiry
 */
export interface Expire {
  readonly _tag: "Xt"
  readonly xt: number
}

/**
 * An expire time as the original's methods take it: seconds from now; or, if it is 15,552,000 (180 days) or more, or
 * negative, since the epoch. A fraction is cut off, and the record lives until that second is over.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { KtCompat } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const kt = yield* KtCompat.KtCompat
 *   yield* kt.set("session", "ada", { expireTime: KtCompat.expire(60) })
 *   yield* kt.set("session", "ada", { expireTime: "1 minute" })
 * })
 *
 * Effect.runPromise(Effect.provide(program, KtCompat.layerMemory))
 * ```
 *
 * @since 0.1.0
 * @category expiry
 */
export const expire: (xt: number) => Expire = values.expire

/**
 * When a record expires: after a duration, at a time, by the original's number, never, or when the one that it replaces
 * would have. A plain number is refused, as nobody could tell its unit.
 *
 * In this process a record expires to the millisecond; over the wire that is rounded up to the end of a second.
 *
 * @since 0.1.0
 * @category expiry
 */
export type ExpireTime =
  | Exclude<Duration.DurationInput, number | bigint>
  | DateTime.DateTime
  | Date
  | Expire
  | "never"
  | "keep"

/**
 * How long something is waited for. A plain number is refused, as nobody could tell its unit.
 *
 * @since 0.1.0
 * @category models
 */
export type Timeout = Exclude<Duration.DurationInput, number | bigint>

/**
 * Whether and when a record expires.
 *
 * @since 0.1.0
 * @category expiry
 */
export type Expiration =
  | { readonly _tag: "Missing" }
  | { readonly _tag: "Persistent" }
  | { readonly _tag: "Expires"; readonly at: DateTime.Utc }

/**
 * Constructors and `$match` of `Expiration`.
 *
 * @since 0.1.0
 * @category expiry
 */
export const Expiration: Data.TaggedEnum.Constructor<Expiration> = values.Expiration

// --- Options ---

/**
 * Which database a method is about.
 *
 * @since 0.1.0
 * @category models
 */
export interface At {
  /** The database; that of the client. */
  readonly db?: KtTransport.Database | undefined
}

/**
 * Where a method writes, and when that expires.
 *
 * @since 0.1.0
 * @category models
 */
export interface WriteOptions extends At {
  /** What sets a value has it never expire, unless told; what changes one has it expire as before. */
  readonly expireTime?: ExpireTime | undefined
}

/**
 * How a counter is incremented.
 *
 * @since 0.1.0
 * @category models
 */
export interface IncrementOptions<N> extends WriteOptions {
  /** What to begin with, if there is no record: 0. `"try"`: fail as `NoRecord`. `"set"`: the number takes any one's place. */
  readonly orig?: KtTransport.Origin<N> | undefined
}

/**
 * Where keys are matched, and how many are returned.
 *
 * @since 0.1.0
 * @category models
 */
export interface MatchOptions extends At {
  /** At most so many keys. */
  readonly max?: number | undefined
}

/**
 * A record that `getBulkDetails` found.
 *
 * @since 0.1.0
 * @category models
 */
export interface Details<K, A> {
  readonly db: KtTransport.Database
  readonly key: K
  readonly value: A
  /** `None` if it does not expire. */
  readonly expires: Option.Option<DateTime.Utc>
}

/**
 * A record for `setBulkDetails`.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewRecord<K, A> extends WriteOptions {
  readonly key: K
  readonly value: A
}

/**
 * Values by names, in an object, a `Map`, or pairs.
 *
 * @since 0.1.0
 * @category models
 */
export type Dictionary<K, A> =
  | Iterable<readonly [K, A]>
  | ([K] extends [string] ? Readonly<Record<string, A>> : never)

/**
 * A part of the update log.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogFile {
  readonly path: string
  readonly bytes: number
  /** The time of its last change. */
  readonly latest: Option.Option<DateTime.Utc>
}

// --- Cursor ---

/**
 * A place in a database, as long as its scope. Several are independent of each other.
 *
 * It begins without a position. `jump` has it go forward and `jumpBack` backward, as `step` and `stepBack` do; what moves
 * it then goes in that direction. Where it leaves the database it has no position any more. If the record under it is
 * removed, by another cursor perhaps, it is on the next greater key.
 *
 * @since 0.1.0
 * @category cursors
 */
export interface Cursor<in out K, in out A> {
  /** To the first record, or to the first whose key is not less than this; whether there is one. */
  readonly jump: (key?: K) => Effect.Effect<boolean, Failure>
  /** To the last record, or to the last whose key is not greater than this; whether there is one. */
  readonly jumpBack: (key?: K) => Effect.Effect<boolean, Failure>
  /** To the next greater key; whether there is one. */
  readonly step: Effect.Effect<boolean, Failure>
  /** To the next smaller key; whether there is one. */
  readonly stepBack: Effect.Effect<boolean, Failure>
  /** The key under it; with `step` it then moves on. */
  readonly key: (options?: { readonly step?: boolean | undefined }) => Effect.Effect<Option.Option<K>, Failure>
  readonly value: (options?: { readonly step?: boolean | undefined }) => Effect.Effect<Option.Option<A>, Failure>
  readonly get: (
    options?: { readonly step?: boolean | undefined }
  ) => Effect.Effect<Option.Option<readonly [K, A]>, Failure>
  /** Writes to the record under it; whether there is one. */
  readonly setValue: (
    value: A,
    options?: { readonly expireTime?: ExpireTime | undefined; readonly step?: boolean | undefined }
  ) => Effect.Effect<boolean, Failure>
  /** Removes the record under it and moves on; whether there was one. */
  readonly remove: Effect.Effect<boolean, Failure>
  /** Removes the record under it, to exactly one caller, and moves on. */
  readonly seize: Effect.Effect<Option.Option<readonly [K, A]>, Failure>
  /** Whether there is a record under it. */
  readonly isValid: Effect.Effect<boolean, Failure>
  /** The records from here on, in its direction. It moves with them. */
  readonly entries: Stream.Stream<readonly [K, A], Failure>
}

// --- Containers ---

/**
 * A map in one record. Each method reads all of it, and what changes it writes all of it: atomically, and it expires as it
 * did.
 *
 * @since 0.1.0
 * @category containers
 */
export interface Hash<in out A> {
  readonly set: (name: string, value: A) => Effect.Effect<void, Failure>
  /** Sets if there is none; whether it did. */
  readonly setnx: (name: string, value: A) => Effect.Effect<boolean, Failure>
  readonly get: (name: string) => Effect.Effect<Option.Option<A>, Failure>
  /** Whether there was one. */
  readonly remove: (name: string) => Effect.Effect<boolean, Failure>
  /** How many were given. */
  readonly setBulk: (values: Dictionary<string, A>) => Effect.Effect<number, Failure>
  /** The same as `setBulk`. */
  readonly update: (values: Dictionary<string, A>) => Effect.Effect<number, Failure>
  /** Those that there are. */
  readonly getBulk: (names: Iterable<string>) => Effect.Effect<ReadonlyMap<string, A>, Failure>
  /** How many there were. */
  readonly removeBulk: (names: Iterable<string>) => Effect.Effect<number, Failure>
  readonly getAll: Effect.Effect<ReadonlyMap<string, A>, Failure>
  readonly length: Effect.Effect<number, Failure>
  readonly contains: (name: string) => Effect.Effect<boolean, Failure>
  /**
   * Writes each value to a record of its own, under the prefix (the key and a colon) and its name; how many. What is there
   * is replaced.
   */
  readonly unpack: (options?: { readonly prefix?: Key | undefined }) => Effect.Effect<number, Failure>
  /**
   * Takes over the values of records from `start` on, before `stop`, at most `count`, but its own; how many. They have to
   * be of the same serializer.
   */
  readonly pack: (options?: PackOptions) => Effect.Effect<number, Failure>
  /** Writes the names to a list of text under a key, in place of what is there; how many. If there are none, nothing. */
  readonly packKeys: (key: Key) => Effect.Effect<number, Failure>
  /** Writes the values to a list under a key, in place of what is there; how many. If there are none, nothing. */
  readonly packValues: (key: Key) => Effect.Effect<number, Failure>
  /** All of it by one plain read, or `None` if there is no record. */
  readonly getRaw: Effect.Effect<Option.Option<ReadonlyMap<string, A>>, Failure>
  /** All of it by one plain write, in place of what is there. It does not expire. */
  readonly setRaw: (values: Dictionary<string, A>) => Effect.Effect<void, Failure>
  /** Removes the record; whether there was one. */
  readonly clear: Effect.Effect<boolean, Failure>
}

/**
 * Which records are packed: from `start` on, before `stop`, at most `count`; all by default.
 *
 * @since 0.1.0
 * @category containers
 */
export interface PackOptions {
  readonly start?: Key | undefined
  readonly stop?: Key | undefined
  readonly count?: number | undefined
}

/**
 * A list in one record. Each method reads all of it, and what changes it writes all of it: atomically, and it expires as
 * it did. Indexes begin at 0; negative ones count from the end.
 *
 * @since 0.1.0
 * @category containers
 */
export interface List<in out A> {
  /** Appends; how many there are then. */
  readonly append: (value: A) => Effect.Effect<number, Failure>
  /** The same as `append`. */
  readonly appendRight: (value: A) => Effect.Effect<number, Failure>
  /** Puts at the head; how many there are then. */
  readonly appendLeft: (value: A) => Effect.Effect<number, Failure>
  readonly extend: (values: Iterable<A>) => Effect.Effect<number, Failure>
  /** From `start` (0) on, before `stop` (the end), as `Array.prototype.slice` has it: what is beyond an end is cut to it. */
  readonly getRange: (start?: number, stop?: number) => Effect.Effect<ReadonlyArray<A>, Failure>
  /** `None` if there is no such index. */
  readonly index: (index: number) => Effect.Effect<Option.Option<A>, Failure>
  /**
   * Inserts before the value at an index; how many there are then. An index that there is not fails as
   * `IndexOutOfBounds`; in an empty list 0 and -1 will do.
   */
  readonly insert: (index: number, value: A) => Effect.Effect<number, Failure>
  /** Replaces the value at an index; one that there is not fails as `IndexOutOfBounds`. */
  readonly set: (index: number, value: A) => Effect.Effect<void, Failure>
  /** Removes the value at an index and returns it; one that there is not fails as `IndexOutOfBounds`. */
  readonly remove: (index: number) => Effect.Effect<A, Failure>
  /** Removes what `getRange` would return; how many are left. */
  readonly removeRange: (start?: number, stop?: number) => Effect.Effect<number, Failure>
  readonly popLeft: Effect.Effect<Option.Option<A>, Failure>
  readonly popRight: Effect.Effect<Option.Option<A>, Failure>
  /** Removes the value at an index, the last by default. `None` if there is no such index. */
  readonly pop: (index?: number) => Effect.Effect<Option.Option<A>, Failure>
  /** Moves the head of this list to the tail of another, or of itself. It is moved also if it cannot be decoded. */
  readonly lpoprpush: (dest?: Key) => Effect.Effect<Option.Option<A>, Failure>
  /** Moves the tail of this list to the head of another, or of itself. It is moved also if it cannot be decoded. */
  readonly rpoplpush: (dest?: Key) => Effect.Effect<Option.Option<A>, Failure>
  readonly length: Effect.Effect<number, Failure>
  /** The first index of a value. */
  readonly find: (value: A) => Effect.Effect<Option.Option<number>, Failure>
  /** The last index of a value. */
  readonly rfind: (value: A) => Effect.Effect<Option.Option<number>, Failure>
  readonly contains: (value: A) => Effect.Effect<boolean, Failure>
  /**
   * Writes each value to a record of its own, under the prefix (the key and a colon) and its index in a format of C
   * (`%04d`); how many. With that format the order of the keys is that of the list up to index 9,999.
   */
  readonly unpack: (
    options?: {
      readonly start?: number | undefined
      readonly stop?: number | undefined
      readonly prefix?: Key | undefined
      readonly format?: string | undefined
    }
  ) => Effect.Effect<number, Failure>
  /** Appends the values of records from `start` on, before `stop`, at most `count`, but its own; how many. */
  readonly pack: (options?: PackOptions) => Effect.Effect<number, Failure>
  /** All of it by one plain read, or `None` if there is no record. */
  readonly getRaw: Effect.Effect<Option.Option<ReadonlyArray<A>>, Failure>
  /** All of it by one plain write, in place of what is there. It does not expire. */
  readonly setRaw: (values: Iterable<A>) => Effect.Effect<void, Failure>
  /** Removes the record; whether there was one. */
  readonly clear: Effect.Effect<boolean, Failure>
}

/**
 * A set in one record: values are the same if their stored forms are. Each method reads all of it, and what changes it
 * writes all of it: atomically, and it expires as it did.
 *
 * @since 0.1.0
 * @category containers
 */
export interface Set<in out A> {
  /** How many were not there before. */
  readonly add: (...values: ReadonlyArray<A>) => Effect.Effect<number, Failure>
  readonly addBulk: (values: Iterable<A>) => Effect.Effect<number, Failure>
  /** How many were there. */
  readonly remove: (...values: ReadonlyArray<A>) => Effect.Effect<number, Failure>
  readonly removeBulk: (values: Iterable<A>) => Effect.Effect<number, Failure>
  readonly contains: (value: A) => Effect.Effect<boolean, Failure>
  readonly count: Effect.Effect<number, Failure>
  /** In any order. */
  readonly members: Effect.Effect<ReadonlyArray<A>, Failure>
  /** Removes any one. */
  readonly pop: Effect.Effect<Option.Option<A>, Failure>
  /** What is in both, also written to `dest` if that is given. What is written there does not expire. */
  readonly intersection: (other: Key, dest?: Key) => Effect.Effect<ReadonlyArray<A>, Failure>
  /** What is in either. */
  readonly union: (other: Key, dest?: Key) => Effect.Effect<ReadonlyArray<A>, Failure>
  /** What is in this and not in the other. */
  readonly difference: (other: Key, dest?: Key) => Effect.Effect<ReadonlyArray<A>, Failure>
  /** Removes the record; whether there was one. */
  readonly clear: Effect.Effect<boolean, Failure>
}

/**
 * The priority of an item.
 *
 * @since 0.1.0
 * @category containers
 */
export interface ScoreOptions {
  /** A whole number from -499,999,999,999 to 500,000,000,000; 0. The higher comes first. */
  readonly score?: number | undefined
}

/**
 * Which items a method is about.
 *
 * @since 0.1.0
 * @category containers
 */
export interface QueueOptions {
  /** Items with a lower score are passed over. */
  readonly minScore?: number | undefined
}

/**
 * A queue by priority: the highest score first, and of one score in the order of their coming. Its items are records of
 * their own, under its key and a tab. So its key has no tab, and no other records may begin so.
 *
 * An item goes to exactly one of all who ask, also of other processes. What cannot be decoded goes back to its place, and
 * the pop fails as `CodecError`.
 *
 * @since 0.1.0
 * @category containers
 */
export interface Queue<in out A> {
  /** The number of the item: they count from 1 on. */
  readonly add: (item: A, options?: ScoreOptions) => Effect.Effect<number, Failure>
  /** How many. */
  readonly extend: (items: Iterable<A>, options?: ScoreOptions) => Effect.Effect<number, Failure>
  readonly pop: (options?: QueueOptions) => Effect.Effect<Option.Option<A>, Failure>
  readonly popMany: (n: number, options?: QueueOptions) => Effect.Effect<ReadonlyArray<A>, Failure>
  /** From the tail: the lowest score, the last to come. */
  readonly rpop: (options?: QueueOptions) => Effect.Effect<Option.Option<A>, Failure>
  readonly rpopMany: (n: number, options?: QueueOptions) => Effect.Effect<ReadonlyArray<A>, Failure>
  /**
   * Waits for an item, or `None` after the time-out. Interrupting it loses nothing. What this process adds is had at once,
   * what others do within a second. In a transaction it does not wait.
   */
  readonly bpop: (
    options?: QueueOptions & { readonly timeout?: Timeout | undefined }
  ) => Effect.Effect<Option.Option<A>, Failure>
  readonly peek: (options?: QueueOptions) => Effect.Effect<Option.Option<A>, Failure>
  readonly peekMany: (n: number, options?: QueueOptions) => Effect.Effect<ReadonlyArray<A>, Failure>
  readonly rpeek: (options?: QueueOptions) => Effect.Effect<Option.Option<A>, Failure>
  readonly rpeekMany: (n: number, options?: QueueOptions) => Effect.Effect<ReadonlyArray<A>, Failure>
  /** Items as they come, without an end; in a transaction, those that are there. */
  readonly stream: (options?: QueueOptions) => Stream.Stream<A, Failure>
  readonly count: Effect.Effect<number, Failure>
  /** Removes items that are equal to this, the first `n` or all; how many. */
  readonly remove: (
    item: A,
    options?: QueueOptions & { readonly n?: number | undefined }
  ) => Effect.Effect<number, Failure>
  /** The same from the tail. */
  readonly rremove: (
    item: A,
    options?: QueueOptions & { readonly n?: number | undefined }
  ) => Effect.Effect<number, Failure>
  /** Moves the first item to another queue, with its score. It is moved also if it cannot be decoded. */
  readonly transfer: (dest: Key) => Effect.Effect<Option.Option<A>, Failure>
  readonly transferMany: (dest: Key, n: number) => Effect.Effect<ReadonlyArray<A>, Failure>
  /** Gives items that are equal to this another score, the first `n` or all; how many did not have it. */
  readonly setPriority: (
    item: A,
    score: number,
    options?: { readonly n?: number | undefined }
  ) => Effect.Effect<number, Failure>
  /** Removes all; how many. Numbers then begin with 1 again. */
  readonly clear: Effect.Effect<number, Failure>
}

/**
 * A time for an item of a schedule: seconds since the epoch, or any whole number from 0 to 999,999,999,999.
 *
 * @since 0.1.0
 * @category containers
 */
export type Due = number | DateTime.DateTime

/**
 * Items by the time when they are due. They are records of their own, under its key and a tab. So its key has no tab, and
 * no other records may begin so.
 *
 * @since 0.1.0
 * @category containers
 */
export interface Schedule<in out A> {
  /** The key of its record. The time is 0 by default. */
  readonly add: (item: A, due?: Due) => Effect.Effect<Uint8Array, Failure>
  /** Removes those that are due at this time or before, the earliest first; each to exactly one caller. */
  readonly read: (
    options?: { readonly due?: Due | undefined; readonly n?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<A>, Failure>
  /** The first `n`, or all, which stay. */
  readonly items: (n?: number) => Effect.Effect<ReadonlyArray<A>, Failure>
  readonly count: Effect.Effect<number, Failure>
  /** Removes all; how many. */
  readonly clear: Effect.Effect<number, Failure>
}

// --- Client ---

/**
 * A client: keys of type `K`, values of type `A`.
 *
 * Every method is atomic, bulks and containers too, also across processes. Several together are in `Storage.transaction`,
 * if the databases are in that `Storage`.
 *
 * @since 0.1.0
 * @category models
 */
export interface KtCompat<in out K extends Key, in out A> {
  readonly get: (key: K, options?: At) => Effect.Effect<Option.Option<A>, Failure>
  readonly getBytes: (key: K, options?: At) => Effect.Effect<Option.Option<Uint8Array>, Failure>
  /** Those that there are, by the keys that were given. */
  readonly getBulk: (keys: Iterable<K>, options?: At) => Effect.Effect<ReadonlyMap<K, A>, Failure>
  /** Those that there are, of any databases, in the order in which they were given. */
  readonly getBulkDetails: (
    addresses: Iterable<readonly [db: KtTransport.Database, key: K]>
  ) => Effect.Effect<ReadonlyArray<Details<K, A>>, Failure>
  readonly set: (key: K, value: A, options?: WriteOptions) => Effect.Effect<void, Failure>
  readonly setBytes: (key: K, value: Uint8Array, options?: WriteOptions) => Effect.Effect<void, Failure>
  /** All or nothing; how many were given. */
  readonly setBulk: (values: Dictionary<K, A>, options?: WriteOptions) => Effect.Effect<number, Failure>
  /**
   * All or nothing, in any databases of one `Storage`; those of several are written one storage after the other. How many
   * were given.
   */
  readonly setBulkDetails: (records: Iterable<NewRecord<K, A>>) => Effect.Effect<number, Failure>
  /** The same as `setBulk`. */
  readonly update: (values: Dictionary<K, A>, options?: WriteOptions) => Effect.Effect<number, Failure>
  /** Whether there was one. */
  readonly remove: (key: K, options?: At) => Effect.Effect<boolean, Failure>
  /** How many there were. */
  readonly removeBulk: (keys: Iterable<K>, options?: At) => Effect.Effect<number, Failure>
  readonly removeBulkDetails: (
    addresses: Iterable<readonly [db: KtTransport.Database, key: K]>
  ) => Effect.Effect<number, Failure>
  /** Sets if there is none; whether it did. */
  readonly add: (key: K, value: A, options?: WriteOptions) => Effect.Effect<boolean, Failure>
  /** Sets if there is one; whether it did. It never expires, unless told. */
  readonly replace: (key: K, value: A, options?: WriteOptions) => Effect.Effect<boolean, Failure>
  /** Appends text or bytes; absent is empty. Values of another serializer fail as `InvalidArgument`. */
  readonly append: (key: K, value: A, options?: WriteOptions) => Effect.Effect<void, Failure>
  /** Adds to a number of 64 bits, which is a record of 8 bytes; the sum. `by` is 1; 0 reads. */
  readonly increment: (
    key: K,
    by?: number | bigint,
    options?: IncrementOptions<number | bigint>
  ) => Effect.Effect<bigint, Failure>
  /** Adds to a number with 15 decimals, which is a record of 16 bytes; the sum. `by` is 1; 0 reads. */
  readonly incrementDouble: (
    key: K,
    by?: number,
    options?: IncrementOptions<number>
  ) => Effect.Effect<number, Failure>
  /** Sets, or removes, if what is stored is `expected`, byte by byte; whether it was. `None` is no record. */
  readonly cas: (
    key: K,
    expected: Option.Option<A>,
    next: Option.Option<A>,
    options?: WriteOptions
  ) => Effect.Effect<boolean, Failure>
  readonly exists: (key: K, options?: At) => Effect.Effect<boolean, Failure>
  /** How many bytes the value has. */
  readonly length: (key: K, options?: At) => Effect.Effect<Option.Option<number>, Failure>
  /** Removes a value and returns it, to exactly one caller. What cannot be decoded stays. */
  readonly seize: (key: K, options?: At) => Effect.Effect<Option.Option<A>, Failure>
  /** The same as `seize`. */
  readonly pop: (key: K, options?: At) => Effect.Effect<Option.Option<A>, Failure>

  /** Changes when a record expires, to never by default; when it did before. */
  readonly touch: (key: K, expireTime?: ExpireTime, options?: At) => Effect.Effect<Expiration, Failure>
  /** The same for many, of which those that there are are in the answer. */
  readonly touchBulk: (
    keys: Iterable<K>,
    expireTime?: ExpireTime,
    options?: At
  ) => Effect.Effect<ReadonlyMap<K, Expiration>, Failure>
  /** Has a record expire so many seconds later, or earlier if they are negative; when it does then. */
  readonly touchRelative: (key: K, seconds: number, options?: At) => Effect.Effect<Expiration, Failure>
  readonly touchBulkRelative: (
    keys: Iterable<K>,
    seconds: number,
    options?: At
  ) => Effect.Effect<ReadonlyMap<K, Expiration>, Failure>
  /** The original's number: the last second, since the epoch, in which the record lives; `Infinity` if it never expires. */
  readonly expireTime: (key: K, options?: At) => Effect.Effect<Option.Option<number>, Failure>
  /** When a record expires. */
  readonly expires: (key: K, options?: At) => Effect.Effect<Expiration, Failure>

  /** Keys that begin so, in order. */
  readonly matchPrefix: (prefix: K, options?: MatchOptions) => Effect.Effect<ReadonlyArray<K>, Failure>
  /**
   * Keys in which a POSIX extended regular expression is found, in order; it takes them as bytes. References to groups are
   * not supported: whatever the expression, it takes linear time.
   */
  readonly matchRegex: (regex: string, options?: MatchOptions) => Effect.Effect<ReadonlyArray<K>, Failure>
  /** Keys that are at most so many edits (1) away, the nearest first: of code points, or of bytes if keys are bytes. */
  readonly matchSimilar: (
    origin: K,
    options?: MatchOptions & { readonly distance?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<K>, Failure>
  readonly keys: (options?: At) => Stream.Stream<K, Failure>
  readonly keysNonlazy: (options?: At) => Effect.Effect<ReadonlyArray<K>, Failure>
  readonly values: (options?: At) => Stream.Stream<A, Failure>
  readonly items: (options?: At) => Stream.Stream<readonly [K, A], Failure>
  readonly cursor: (options?: At) => Effect.Effect<Cursor<K, A>, Failure, Scope.Scope>

  /** How many records there are. */
  readonly count: (options?: At) => Effect.Effect<number, Failure>
  /** How many bytes their keys and values have. */
  readonly size: (options?: At) => Effect.Effect<number, Failure>
  /** Removes all records of a database. */
  readonly clear: (options?: At) => Effect.Effect<void, Failure>
  readonly status: (options?: At) => Effect.Effect<Readonly<Record<string, string | number>>, Failure>
  readonly report: Effect.Effect<Readonly<Record<string, string | number>>, Failure>
  /** The paths of the databases. */
  readonly databases: Effect.Effect<ReadonlyArray<string>, Failure>
  /** The paths of the databases, each with its status. */
  readonly listDatabases: Effect.Effect<
    ReadonlyArray<readonly [path: string, status: Readonly<Record<string, string | number>>]>,
    Failure
  >
  /** Returns when all that was written is; with `hard`, on the disk. */
  readonly synchronize: (options?: At & { readonly hard?: boolean | undefined }) => Effect.Effect<void, Failure>
  /** Frees the room of what has expired. */
  readonly vacuum: (options?: At) => Effect.Effect<void, Failure>
  /** The last error that an operation of the databases failed with, by the original's codes; 0 if none did. */
  readonly error: Effect.Effect<{ readonly code: number; readonly message: string }, Failure>

  readonly ulogList: Effect.Effect<ReadonlyArray<LogFile>, Failure>
  /** Removes what was logged up to a time, now by default, but for the last change. */
  readonly ulogRemove: (until?: DateTime.DateTime) => Effect.Effect<void, Failure>
  /**
   * The changes that were logged after a time, from the first by default: a `DateTime`, or the timestamp of a change. With
   * `follow` it goes on with those that are made from now on.
   */
  readonly changes: (
    options?: { readonly since?: DateTime.DateTime | bigint | undefined; readonly follow?: boolean | undefined }
  ) => Stream.Stream<KtTransport.Change, Failure>

  /** Calls a procedure. Values are of the serializer, in what is given and in what is answered. */
  readonly script: (
    name: string,
    data?: Dictionary<string, A>,
    options?: At
  ) => Effect.Effect<ReadonlyMap<string, A>, Failure>
  /** Calls a procedure, with text or bytes as they are. */
  readonly rawScript: (
    name: string,
    data?: Dictionary<string, string | Uint8Array>,
    options?: At
  ) => Effect.Effect<ReadonlyMap<string, Uint8Array>, Failure>

  /** Waits until somebody signals a condition, 30 seconds by default; whether somebody did. */
  readonly wait: (condition: string, timeout?: Timeout) => Effect.Effect<boolean, Failure>
  /** Wakes one who waits for a condition, or all; how many were waiting. */
  readonly signal: (
    condition: string,
    options?: { readonly all?: boolean | undefined }
  ) => Effect.Effect<number, Failure>

  /** The bytes that a `Hash` has in its record. */
  readonly serializeDict: (values: Dictionary<string, A>) => Effect.Effect<Uint8Array, Failure>
  /** Fails as `CorruptContainer` if they are something else. */
  readonly deserializeDict: (bytes: Uint8Array) => Effect.Effect<ReadonlyMap<string, A>, Failure>
  /** The bytes that a `List` has in its record. */
  readonly serializeList: (values: Iterable<A>) => Effect.Effect<Uint8Array, Failure>
  /** Fails as `CorruptContainer` if they are something else. */
  readonly deserializeList: (bytes: Uint8Array) => Effect.Effect<ReadonlyArray<A>, Failure>

  readonly Hash: (key: K, options?: At) => Hash<A>
  readonly List: (key: K, options?: At) => List<A>
  readonly Set: (key: K, options?: At) => Set<A>
  readonly Queue: (key: K, options?: At) => Queue<A>
  readonly Schedule: (key: K, options?: At) => Schedule<A>

  /** The same client of another database. */
  readonly setDatabase: (db: KtTransport.Database) => KtCompat<K, A>
  /** The same client with values of another serializer. */
  readonly withValues: <B, I>(values: Schema.Schema<B, I> | Codec.Codec<B>) => KtCompat<K, B>
}

/**
 * How a client is made.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<A, I, R> {
  /** The serializer of values: a `Codec`, or a `Schema`, whose values are JSON; `binary`. */
  readonly value?: Schema.Schema<A, I, R> | Codec.Codec<A, R> | undefined
  /** The database that methods are about if they are not told; 0. */
  readonly db?: KtTransport.Database | undefined
}

/**
 * A client with text keys, of the `KtTransport` of the context. A key that is stored and is not UTF-8 fails as `CodecError`
 * where it would have to be returned.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  (options?: Options<string, string, never>): Effect.Effect<KtCompat<string, string>, never, KtTransport.KtTransport>
  <A, I, R = never>(
    options: Options<A, I, R> & { readonly value: Schema.Schema<A, I, R> | Codec.Codec<A, R> }
  ): Effect.Effect<KtCompat<string, A>, never, KtTransport.KtTransport | R>
} = internal.make

/**
 * A client with keys that are bytes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeBytes: {
  (
    options?: Options<string, string, never>
  ): Effect.Effect<KtCompat<Uint8Array, string>, never, KtTransport.KtTransport>
  <A, I, R = never>(
    options: Options<A, I, R> & { readonly value: Schema.Schema<A, I, R> | Codec.Codec<A, R> }
  ): Effect.Effect<KtCompat<Uint8Array, A>, never, KtTransport.KtTransport | R>
} = internal.makeBytes

/**
 * A client as a service: its tag, with its layers.
 *
 * @since 0.1.0
 * @category tags
 */
export interface TagClass<Self, Id extends string, A, R> extends Context.TagClass<Self, Id, KtCompat<string, A>> {
  /** The client, of the `KtTransport` of the context. */
  readonly layer: Layer.Layer<Self, never, KtTransport.KtTransport | R>
  /** The client of a database in a memory of its own. */
  readonly layerMemory: Layer.Layer<Self, StorageError | KtError, R>
}

/**
 * Defines a client as a service: the class is its tag and has its layers.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KtCompat } from "effect-kv"
 *
 * const Job = Schema.Struct({ url: Schema.String, attempts: Schema.Number })
 *
 * class Jobs extends KtCompat.Tag<Jobs>()("app/Jobs", { value: Job }) {}
 *
 * const program = Effect.gen(function*() {
 *   const queue = (yield* Jobs).Queue("downloads")
 *   yield* queue.add({ attempts: 0, url: "https://example.com/" }, { score: 10 })
 *   return yield* queue.pop()
 * })
 *
 * Effect.runPromise(Effect.provide(program, Jobs.layerMemory)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const Tag = <Self>() =>
<const Id extends string, A, I, R = never>(
  id: Id,
  options: Options<A, I, R> & { readonly value: Schema.Schema<A, I, R> | Codec.Codec<A, R> }
): TagClass<Self, Id, A, R> => {
  const tag = Context.Tag(id)<Self, KtCompat<string, A>>()
  // Values, not getters: layers are shared by reference.
  const layer = Layer.effect(tag, make(options))
  return Object.assign(tag, { layer, layerMemory: Layer.provide(layer, Layer.fresh(KtTransport.layerMemory)) })
}

/**
 * The client with text keys and text values as a service.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { KtCompat } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const kt = yield* KtCompat.KtCompat
 *   yield* kt.set("greeting", "hello", { expireTime: "1 hour" })
 *   yield* kt.increment("visits")
 *   return yield* kt.matchPrefix("g")
 * })
 *
 * Effect.runPromise(Effect.provide(program, KtCompat.layerMemory)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const KtCompat: Context.Tag<KtCompat<string, string>, KtCompat<string, string>> = Context.GenericTag<
  KtCompat<string, string>
>("effect-kv/KtCompat")

/**
 * The client with text values, of the `KtTransport` of the context.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: { readonly db?: KtTransport.Database | undefined }
): Layer.Layer<KtCompat<string, string>, never, KtTransport.KtTransport> =>
  Layer.effect(KtCompat, make({ db: options?.db }))

/**
 * The client with text values, of a database in a memory of its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<KtCompat<string, string>, StorageError | KtError> = Layer.provide(
  layer(),
  Layer.fresh(KtTransport.layerMemory)
)

// --- Procedures ---

/**
 * What a procedure answers with: text, numbers, booleans or bytes by names. What is undefined is left out.
 *
 * @since 0.1.0
 * @category procedures
 */
export type Answer = Readonly<Record<string, string | number | bigint | boolean | Uint8Array | undefined>>

/**
 * A procedure of one's own, by a name under which `script` and `rawScript` call it. It is given what the caller gave, and
 * a client of the database that was asked for, by the caller's options or by a `db` in the data, as the protocol has it;
 * values are bytes. All that it does is one transaction: if it fails, nothing was
 * written. Keep it short; it may run again after a conflict.
 *
 * A failure that is none of ours fails as `KtError` with reason `ProcedureFailed`, and has it as `cause`.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { KtCompat, KtTransport } from "effect-kv"
 *
 * const vote = KtCompat.procedure("vote", (input, kt) =>
 *   Effect.gen(function*() {
 *     const option = new TextDecoder().decode(input.get("option"))
 *     const votes = yield* kt.increment(`votes/${option}`)
 *     yield* kt.increment("votes")
 *     return { votes }
 *   }))
 *
 * const program = Effect.gen(function*() {
 *   const kt = yield* KtCompat.KtCompat
 *   return yield* kt.script("vote", { option: "tea" })
 * })
 *
 * const Live = KtCompat.layer().pipe(
 *   Layer.provide(KtTransport.layerDatabases(["%"], { procedures: [vote] }))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Live)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category procedures
 */
export const procedure: <E, R>(
  name: string,
  handler: (
    input: ReadonlyMap<string, Uint8Array>,
    kt: KtCompat<string, Uint8Array>
  ) => Effect.Effect<Answer, E, R>
) => KtTransport.Procedure<R> = internal.procedure
