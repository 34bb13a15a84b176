/**
 * Typed values by key, with a time to live.
 *
 * A `TtlStore` is a `KeyValueStore` whose entries may expire. An expired entry is absent to every operation from that
 * moment on, by Effect's `Clock`, so a test sets the time with `TestClock`. Its room is freed later, by the sweeper of
 * the `Storage`, which runs in the background by itself.
 *
 * @since 0.1.0
 */
import * as Persistence from "@effect/experimental/Persistence"
import * as RateLimiter from "@effect/experimental/RateLimiter"
import * as Context from "effect/Context"
import type * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import { makePersistence } from "./internal/adapters/persistence.js"
import { makeRateLimiter } from "./internal/adapters/rateLimiter.js"
import { inMemory, makeTag } from "./internal/store/tag.js"
import * as internal from "./internal/store/ttlStore.js"
import type * as KeyValueStore from "./KeyValueStore.js"
import * as Storage from "./Storage.js"
import type { CounterError, StorageError } from "./StorageError.js"

/**
 * A point in time; a number is milliseconds since the epoch.
 *
 * @since 0.1.0
 * @category models
 */
export type Time = DateTime.DateTime | Date | number

/**
 * When what is written expires: after a time to live, at a time, or when what it replaces would have (`keep`).
 *
 * A time to live of zero or less, or a time that has passed, is accepted, and the entry is absent afterwards. One that
 * is infinite means that it does not expire. With `keep`, what replaces nothing has the time to live of the store.
 *
 * @since 0.1.0
 * @category models
 */
export type Expiry =
  | {
    readonly timeToLive: Duration.DurationInput
    readonly expiresAt?: undefined
    readonly keep?: undefined
  }
  | {
    readonly expiresAt: Time
    readonly timeToLive?: undefined
    readonly keep?: undefined
  }
  | {
    readonly keep: true
    readonly timeToLive?: undefined
    readonly expiresAt?: undefined
  }

/**
 * What is left of an entry's life: there is none, it does not expire, or it does.
 *
 * @since 0.1.0
 * @category models
 */
export type Ttl =
  | { readonly _tag: "Missing" }
  | { readonly _tag: "Persistent" }
  | {
    readonly _tag: "Remaining"
    readonly timeToLive: Duration.Duration
    /** Milliseconds since the epoch. */
    readonly expiresAt: number
  }

/**
 * Constructors and `$match` of `Ttl`.
 *
 * @example
 * ```ts
 * import { Duration } from "effect"
 * import { TtlStore } from "effect-kv"
 *
 * const describe = TtlStore.Ttl.$match({
 *   Missing: () => "not there",
 *   Persistent: () => "does not expire",
 *   Remaining: ({ timeToLive }) => `for another ${Duration.format(timeToLive)}`
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const Ttl: Data.TaggedEnum.Constructor<Ttl> = internal.Ttl

/**
 * Which entries `expire` and `expireAt` change: those that do not expire, those that do, or those that then expire
 * later, or earlier, than before. What does not expire counts as expiring after all others.
 *
 * @since 0.1.0
 * @category models
 */
export type Condition = "persistent" | "expiring" | "later" | "earlier"

/**
 * A store of values of type `A` by keys of type `K`, whose entries may expire.
 *
 * What creates or replaces a value (`set`, `setMany`, `insert`, `replace`, `swap`, `getOrInsert`, `getOrSet`) gives it
 * the expiry it was told, or else the store's time to live, or none if the store has none. What changes a value
 * (`update`, `modify`, `compareAndSet`, `increment`, `append`) keeps its expiry unless told, and treats what it creates
 * as the others do. `rename` moves the expiry along.
 *
 * @since 0.1.0
 * @category models
 */
export interface TtlStore<in out K, in out A> extends KeyValueStore.KeyValueStore<K, A> {
  readonly set: (key: K, value: A, expiry?: Expiry) => Effect.Effect<void, KeyValueStore.Failure>
  /** Upserts all or none. An entry's own expiry goes before the one for all. Of equal keys the last wins. */
  readonly setMany: (
    entries: Iterable<readonly [key: K, value: A, expiry?: Expiry | undefined]>,
    expiry?: Expiry
  ) => Effect.Effect<void, KeyValueStore.Failure>
  readonly insert: (key: K, value: A, expiry?: Expiry) => Effect.Effect<boolean, KeyValueStore.Failure>
  readonly replace: (key: K, value: A, expiry?: Expiry) => Effect.Effect<boolean, KeyValueStore.Failure>
  readonly getOrInsert: (key: K, value: () => A, expiry?: Expiry) => Effect.Effect<A, KeyValueStore.Failure>
  readonly update: (
    key: K,
    f: (value: A) => A,
    expiry?: Expiry
  ) => Effect.Effect<Option.Option<A>, KeyValueStore.Failure>
  readonly modify: <B>(
    key: K,
    f: (value: Option.Option<A>) => readonly [B, Option.Option<A>],
    expiry?: Expiry
  ) => Effect.Effect<B, KeyValueStore.Failure>
  readonly compareAndSet: (
    key: K,
    expected: Option.Option<A>,
    next: Option.Option<A>,
    expiry?: Expiry
  ) => Effect.Effect<boolean, KeyValueStore.Failure>
  readonly swap: (key: K, value: A, expiry?: Expiry) => Effect.Effect<Option.Option<A>, KeyValueStore.Failure>
  readonly increment: <N extends number | bigint>(
    this: KeyValueStore.KeyValueStore<K, N>,
    key: K,
    by: N,
    expiry?: Expiry
  ) => Effect.Effect<N, KeyValueStore.Failure | CounterError>
  readonly append: <V extends Storage.Value>(
    this: KeyValueStore.KeyValueStore<K, V>,
    key: K,
    value: V,
    expiry?: Expiry
  ) => Effect.Effect<void, KeyValueStore.Failure>

  /**
   * The value, or that of the effect, which is then inserted; what somebody else has set meanwhile stays, and is the
   * answer. Of many fibers of this process that ask for an absent key at once, the first computes and all have its
   * outcome, its failure too: give a key one effect. It is interrupted when nobody waits for it any more. In a
   * transaction each computes for itself. An effect that waits for itself, through other keys perhaps, fails as
   * `StorageError` with reason `Busy`.
   */
  readonly getOrSet: <E, R>(
    key: K,
    value: Effect.Effect<A, E, R>,
    expiry?: Expiry
  ) => Effect.Effect<A, E | KeyValueStore.Failure, R>
  /** The value, whose life begins anew as with `touch`. */
  readonly getAndTouch: (
    key: K,
    timeToLive?: Duration.DurationInput
  ) => Effect.Effect<Option.Option<A>, KeyValueStore.Failure>

  /** What is left of the entry's life. */
  readonly ttl: (key: K) => Effect.Effect<Ttl, KeyValueStore.Failure>
  /** Has the entry expire after this time, from now; tells whether it was there and met the condition, if any. */
  readonly expire: (
    key: K,
    timeToLive: Duration.DurationInput,
    options?: { readonly onlyIf?: Condition | undefined }
  ) => Effect.Effect<boolean, KeyValueStore.Failure>
  /** Has the entry expire at this time; tells whether it was there and met the condition, if any. */
  readonly expireAt: (
    key: K,
    time: Time,
    options?: { readonly onlyIf?: Condition | undefined }
  ) => Effect.Effect<boolean, KeyValueStore.Failure>
  /** Has the entry not expire; tells whether it was there. */
  readonly persist: (key: K) => Effect.Effect<boolean, KeyValueStore.Failure>
  /**
   * Sliding expiry: has the entry's life begin anew, with the given time to live; tells whether it was there. Without
   * one, an entry has at least the store's time to live before it again, if the store has one: none is shortened.
   */
  readonly touch: (key: K, timeToLive?: Duration.DurationInput) => Effect.Effect<boolean, KeyValueStore.Failure>
  /** Has the entry expire so much later than it would; tells whether it was there. */
  readonly extend: (key: K, by: Duration.DurationInput) => Effect.Effect<boolean, KeyValueStore.Failure>
  /**
   * Frees the room of all expired entries of the keyspace, in slices between which others run; tells how many there
   * were. The sweeper does the same by itself.
   */
  readonly sweep: Effect.Effect<number, StorageError>

  readonly prefix: {
    (this: KeyValueStore.KeyValueStore<string, A>, prefix: string): TtlStore<string, A>
    <Rest, I extends string>(
      prefix: string,
      options: { readonly key: Schema.Schema<Rest, I> }
    ): TtlStore<Rest, A>
  }
}

/**
 * How a store is defined.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<A, I, R, K, IK extends string, KR> extends KeyValueStore.Options<A, I, R, K, IK, KR> {
  /** How long what is written lives if it is not told otherwise; for ever. */
  readonly timeToLive?: Duration.DurationInput | undefined
}

/**
 * Opens a store in the `Storage` of the context. What the schemas need is taken here, once, so that methods need
 * nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, I, R = never, K = string, IK extends string = string, KR = never>(
  options: Options<A, I, R, K, IK, KR>
): Effect.Effect<TtlStore<K, A>, StorageError, Storage.Storage | R | KR> => internal.make(options)

/**
 * Defines a store as a service: the class is its tag and has its layers.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { TtlStore } from "effect-kv"
 *
 * const Session = Schema.Struct({ user: Schema.String })
 *
 * class Sessions extends TtlStore.Tag<Sessions>()("app/Sessions", {
 *   keyspace: "sessions",
 *   timeToLive: "30 minutes",
 *   value: Session
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const sessions = yield* Sessions
 *   yield* sessions.set("s1", { user: "ada" })
 *   yield* sessions.set("remembered", { user: "ada" }, { timeToLive: "30 days" })
 *   // read, and stay signed in for another half hour
 *   return yield* sessions.getAndTouch("s1")
 * })
 *
 * Effect.runPromise(Effect.provide(program, Sessions.layerMemory)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const Tag =
  <Self>() =>
  <const Id extends string, A, I, R = never, K = string, IK extends string = string, KR = never>(
    id: Id,
    options: Options<A, I, R, K, IK, KR>
  ): KeyValueStore.TagClass<Self, Id, TtlStore<K, A>, R | KR> => makeTag(id, make(options))

/**
 * The plain store: text and bytes by string keys, each kept as what it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Plain extends TtlStore<string, Storage.Value> {
  /** The same entries as values of a schema, stored as JSON. */
  readonly forSchema: <A, I>(schema: Schema.Schema<A, I>) => TtlStore<string, A>
  readonly prefix: {
    (prefix: string): Plain
    <Rest, I extends string>(
      prefix: string,
      options: { readonly key: Schema.Schema<Rest, I> }
    ): TtlStore<Rest, Storage.Value>
  }
}

/**
 * The plain store as a service.
 *
 * @since 0.1.0
 * @category tags
 */
export const TtlStore: Context.Tag<Plain, Plain> = Context.GenericTag<Plain>("effect-kv/TtlStore")

/**
 * The plain store in the `Storage` of the context, in the keyspace `ttl` or another.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: { readonly keyspace?: string | undefined; readonly timeToLive?: Duration.DurationInput | undefined }
): Layer.Layer<Plain, StorageError, Storage.Storage> => Layer.effect(TtlStore, internal.makePlain(options ?? {}))

/**
 * The plain store in a memory of its own, without a time to live of its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<Plain, StorageError> = inMemory(layer())

/**
 * Sets how often the sweeper of the `Storage` removes expired entries, and how many in one slice. It runs without
 * this as well, once a minute, unless `Storage.layer({ sweep: false })` leaves it off. Of several settings the last one
 * counts.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { Sqlite, Storage, TtlStore } from "effect-kv"
 *
 * const StoresLive = Layer.mergeAll(
 *   TtlStore.layer({ timeToLive: "1 hour" }),
 *   TtlStore.sweeper({ interval: "10 seconds" })
 * ).pipe(
 *   Layer.provide(Storage.layer()),
 *   Layer.provide(Sqlite.layer({ filename: "app.db" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const sweeper = (options: Storage.SweepOptions): Layer.Layer<never, StorageError, Storage.Storage> =>
  Layer.effectDiscard(Effect.flatMap(Storage.Storage, ({ maintenance }) => maintenance.sweeper(options)))

/**
 * The `BackingPersistence` of `@effect/experimental` on the `Storage` of the context, for `Persistence.layerResult`, and
 * with it `PersistedCache` and `RequestResolver.persisted`. All its stores are in one keyspace, `persistence` or another.
 *
 * Store ids and keys are any strings; what is long is stored under its SHA-256. Values are stored as JSON. What JSON
 * lacks fails, as does the engine, as `PersistenceError`, with ours as `cause`.
 *
 * @example
 * ```ts
 * import { PersistedCache, Persistence } from "@effect/experimental"
 * import { Effect, Layer, PrimaryKey, Schema } from "effect"
 * import { Storage, TtlStore } from "effect-kv"
 *
 * class Length extends Schema.TaggedRequest<Length>()("Length", {
 *   failure: Schema.String,
 *   payload: { text: Schema.String },
 *   success: Schema.Number
 * }) {
 *   [PrimaryKey.symbol]() {
 *     return this.text
 *   }
 * }
 *
 * const program = Effect.gen(function*() {
 *   const cache = yield* PersistedCache.make({
 *     lookup: (request: Length) => Effect.succeed(request.text.length),
 *     storeId: "lengths",
 *     timeToLive: () => "1 day"
 *   })
 *   return yield* cache.get(new Length({ text: "hello" }))
 * })
 *
 * const Live = Persistence.layerResult.pipe(
 *   Layer.provide(TtlStore.layerPersistence()),
 *   Layer.provide(Storage.layerMemory)
 * )
 *
 * Effect.runPromise(Effect.scoped(Effect.provide(program, Live))).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPersistence = (
  options?: { readonly keyspace?: string | undefined }
): Layer.Layer<Persistence.BackingPersistence, StorageError, Storage.Storage> =>
  Layer.effect(Persistence.BackingPersistence, makePersistence(options))

/**
 * The `RateLimiterStore` of `@effect/experimental` on the `Storage` of the context, for `RateLimiter.layer`, in the
 * keyspace `ratelimiter` or another. Each request is one atomic update: the processes that share a database share the
 * limits. What is known of a key expires when its window ends or its bucket is full.
 *
 * @example
 * ```ts
 * import { RateLimiter } from "@effect/experimental"
 * import { Effect, Layer } from "effect"
 * import { Storage, TtlStore } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const withLimiter = yield* RateLimiter.makeWithRateLimiter
 *   return yield* withLimiter({ key: "mails", limit: 10, window: "1 minute" })(Effect.succeed("sent"))
 * })
 *
 * const Live = RateLimiter.layer.pipe(
 *   Layer.provide(TtlStore.layerRateLimiter()),
 *   Layer.provide(Storage.layerMemory)
 * )
 *
 * Effect.runPromise(Effect.provide(program, Live)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRateLimiter = (
  options?: { readonly keyspace?: string | undefined }
): Layer.Layer<RateLimiter.RateLimiterStore, StorageError, Storage.Storage> =>
  Layer.effect(RateLimiter.RateLimiterStore, makeRateLimiter(options))
