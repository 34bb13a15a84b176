/**
 * Typed values by key.
 *
 * A store is a service with a layer: define it as a class with `KeyValueStore.Tag`, or use the plain
 * `KeyValueStore.KeyValueStore` of strings and bytes. Either stands on `Storage`, so the engine is chosen once, and
 * `layerMemory` takes its place in tests.
 *
 * @since 0.1.0
 */
import * as Platform from "@effect/platform/KeyValueStore"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as Codec from "./Codec.js"
import { makePlatform } from "./internal/adapters/platform.js"
import * as internal from "./internal/store/keyValueStore.js"
import { inMemory, makeTag } from "./internal/store/tag.js"
import type * as Storage from "./Storage.js"
import type { CounterError, InvalidKey, KeyNotFound, StorageError } from "./StorageError.js"

/**
 * What any operation of a store may fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type Failure = StorageError | InvalidKey | Codec.CodecError

/**
 * What `rename` did.
 *
 * @since 0.1.0
 * @category models
 */
export type Renamed = "Renamed" | "SourceMissing" | "TargetExists"

/**
 * Which keys, in which order: the order of their stored form, byte by byte of its UTF-8.
 *
 * @since 0.1.0
 * @category models
 */
export interface Range<K> extends Omit<Storage.Range<K>, "prefix"> {
  /** Keys whose stored form begins with this. */
  readonly prefix?: string | undefined
}

/**
 * A store of values of type `A` by keys of type `K`.
 *
 * Every update is atomic, also across processes, and is done whole or not at all when its fiber is interrupted. In a
 * transaction all operations are part of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyValueStore<in out K, in out A> {
  /** The value, or `None`. */
  readonly get: (key: K) => Effect.Effect<Option.Option<A>, Failure>
  /** The value, or the error `KeyNotFound`. */
  readonly getOrFail: (key: K) => Effect.Effect<A, Failure | KeyNotFound>
  /** Aligned with its input: the nth answer is for the nth key. Any number of keys, duplicates too. */
  readonly getMany: (keys: Iterable<K>) => Effect.Effect<Array<Option.Option<A>>, Failure>
  /** What is there of the given keys. */
  readonly getManyMap: (keys: Iterable<K>) => Effect.Effect<Map<K, A>, Failure>
  readonly has: (key: K) => Effect.Effect<boolean, Failure>

  /** Upsert: inserts the value or replaces it. */
  readonly set: (key: K, value: A) => Effect.Effect<void, Failure>
  /** Upserts all or none. Of several entries with the same key the last wins. */
  readonly setMany: (entries: Iterable<readonly [K, A]>) => Effect.Effect<void, Failure>
  /** Sets if the key is absent; tells whether it did. */
  readonly insert: (key: K, value: A) => Effect.Effect<boolean, Failure>
  /** Sets if the key is present; tells whether it did. */
  readonly replace: (key: K, value: A) => Effect.Effect<boolean, Failure>
  /** The value, or the given one after inserting it. `value` must be pure. */
  readonly getOrInsert: (key: K, value: () => A) => Effect.Effect<A, Failure>
  /** Applies `f` to the value, if there is one, and returns the new one. `f` must be pure. */
  readonly update: (key: K, f: (value: A) => A) => Effect.Effect<Option.Option<A>, Failure>
  /**
   * The atomic read-modify-write: from the value or `None` to an answer and the new value, or `None` to remove it. `f`
   * must be pure and may run more than once.
   */
  readonly modify: <B>(
    key: K,
    f: (value: Option.Option<A>) => readonly [B, Option.Option<A>]
  ) => Effect.Effect<B, Failure>
  /**
   * Sets `next` if the value is `expected`, by the schema's equivalence; tells whether it did. `None` stands for absent,
   * on either side.
   */
  readonly compareAndSet: (
    key: K,
    expected: Option.Option<A>,
    next: Option.Option<A>
  ) => Effect.Effect<boolean, Failure>
  /** Sets the value and returns the one before. */
  readonly swap: (key: K, value: A) => Effect.Effect<Option.Option<A>, Failure>
  /** Removes the value and returns it, to exactly one caller. */
  readonly take: (key: K) => Effect.Effect<Option.Option<A>, Failure>
  /** Whether there was something to remove. */
  readonly remove: (key: K) => Effect.Effect<boolean, Failure>
  /** How many there were to remove; all or none of them are. */
  readonly removeMany: (keys: Iterable<K>) => Effect.Effect<number, Failure>
  /**
   * Moves a value to another key, unless one is there and `overwrite` is not set. Its expiry, if any, moves with it. The
   * value is read only if its codec binds it to its key, as `Codec.encrypted` does.
   */
  readonly rename: (
    from: K,
    to: K,
    options?: { readonly overwrite?: boolean | undefined }
  ) => Effect.Effect<Renamed, Failure>
  /**
   * Adds to a number and returns the sum; an absent number is 0. `bigint` counters have 64 bits, `number` counters are
   * exact for whole numbers up to 2^53 - 1 and floating otherwise; beyond, `CounterError`.
   */
  readonly increment: <N extends number | bigint>(
    this: KeyValueStore<K, N>,
    key: K,
    by: N
  ) => Effect.Effect<N, Failure | CounterError>
  /** Appends to a text, or to bytes; absent is empty. */
  readonly append: <V extends Storage.Value>(
    this: KeyValueStore<K, V>,
    key: K,
    value: V
  ) => Effect.Effect<void, Failure>

  /** Keys in order, read page by page; nothing is held between pages. */
  readonly keys: (range?: Range<K>) => Stream.Stream<K, Failure>
  /** Values in the order of their keys. */
  readonly values: (range?: Range<K>) => Stream.Stream<A, Failure>
  /** Keys and values, in the order of the keys. What is there throughout is seen exactly once. */
  readonly entries: (range?: Range<K>) => Stream.Stream<readonly [K, A], Failure>
  /** All of a range in memory, in order. */
  readonly toMap: (range?: Range<K>) => Effect.Effect<Map<K, A>, Failure>
  /** How many entries there are. The range's limit does not apply. */
  readonly size: (range?: Range<K>) => Effect.Effect<number, Failure>
  readonly isEmpty: Effect.Effect<boolean, Failure>
  /** Removes a range, or everything, all or nothing; tells how many that were. The range's limit does not apply. */
  readonly clear: (range?: Range<K>) => Effect.Effect<number, Failure>

  /**
   * A view of the keys with this prefix, which its own keys lack. It is complete: size, clear and streams stay inside.
   * What is left of a typed key is another type of key, so that needs its own schema; to read a part of a store with its
   * own keys, use a range.
   */
  readonly prefix: {
    (this: KeyValueStore<string, A>, prefix: string): KeyValueStore<string, A>
    <Rest, I extends string>(
      prefix: string,
      options: { readonly key: Schema.Schema<Rest, I> }
    ): KeyValueStore<Rest, A>
  }
  /** Runs the effect in a transaction of this store's `Storage`; see there. */
  readonly transaction: <B, E, R>(
    self: Effect.Effect<B, E, R>,
    options?: { readonly retry?: Schedule.Schedule<unknown> | boolean | undefined }
  ) => Effect.Effect<B, E | StorageError, R>
}

/**
 * How a store is defined.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<A, I, R, K, IK extends string, KR> {
  /** The name under which the entries are stored. Stores of the same keyspace share them. */
  readonly keyspace: string
  /** A schema, whose values are stored as JSON, or a codec. */
  readonly value: Schema.Schema<A, I, R> | Codec.Codec<A, R>
  /** How keys are written; strings by default. Keys that are encoded to the same text are the same key. */
  readonly key?: Schema.Schema<K, IK, KR> | undefined
  /**
   * What to do with a stored value that no longer fits: `fail` (the default) with `CodecError`, or `miss`: treat it as
   * absent.
   */
  readonly onDecodeFailure?: "fail" | "miss" | undefined
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
): Effect.Effect<KeyValueStore<K, A>, StorageError, Storage.Storage | R | KR> => internal.make(options)

/**
 * @since 0.1.0
 * @category tags
 */
export interface TagClass<Self, Id extends string, Shape, R> extends Context.TagClass<Self, Id, Shape> {
  /** The store, in the `Storage` of the context. */
  readonly layer: Layer.Layer<Self, StorageError, Storage.Storage | R>
  /** The store in a memory of its own. */
  readonly layerMemory: Layer.Layer<Self, StorageError, R>
}

/**
 * Defines a store as a service: the class is its tag and has its layers.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KeyValueStore } from "effect-kv"
 *
 * const User = Schema.Struct({ name: Schema.String, born: Schema.Date })
 *
 * class Users extends KeyValueStore.Tag<Users>()("app/Users", { keyspace: "users", value: User }) {}
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* Users
 *   yield* users.set("ada", { name: "Ada", born: new Date("1815-12-10") })
 *   return yield* users.getOrFail("ada")
 * })
 *
 * // Users.layer needs a Storage; in a test:
 * Effect.runPromise(Effect.provide(program, Users.layerMemory)).then(console.log)
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
  ): TagClass<Self, Id, KeyValueStore<K, A>, R | KR> => makeTag(id, make(options))

/**
 * The plain store: text and bytes by string keys, each kept as what it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Plain extends KeyValueStore<string, Storage.Value> {
  /** The same entries as values of a schema, stored as JSON. */
  readonly forSchema: <A, I>(schema: Schema.Schema<A, I>) => KeyValueStore<string, A>
  readonly prefix: {
    (prefix: string): Plain
    <Rest, I extends string>(
      prefix: string,
      options: { readonly key: Schema.Schema<Rest, I> }
    ): KeyValueStore<Rest, Storage.Value>
  }
}

/**
 * The plain store as a service.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KeyValueStore } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const kv = yield* KeyValueStore.KeyValueStore
 *   yield* kv.set("greeting", "hello")
 *   const counters = kv.prefix("counter/").forSchema(Schema.Number)
 *   return yield* counters.increment("visits", 1)
 * })
 *
 * Effect.runPromise(Effect.provide(program, KeyValueStore.layerMemory)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const KeyValueStore: Context.Tag<Plain, Plain> = Context.GenericTag<Plain>("effect-kv/KeyValueStore")

/**
 * The plain store in the `Storage` of the context, in the keyspace `default` or another.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: { readonly keyspace?: string | undefined }
): Layer.Layer<Plain, StorageError, Storage.Storage> =>
  Layer.effect(KeyValueStore, internal.makePlain(options?.keyspace ?? "default"))

/**
 * The plain store in a memory of its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<Plain, StorageError> = inMemory(layer())

/**
 * The `KeyValueStore` of `@effect/platform` on the `Storage` of the context, for what asks for that tag: in the keyspace
 * `platform` or another, and there in the keys with a prefix, if one is given.
 *
 * `modify`, `modifyUint8Array`, and `modify` of a schema are atomic; their function must be pure and may run more than
 * once. Errors are `PlatformError`s, with ours as `cause`. To divide a store, give its parts a keyspace or a `prefix`
 * each: `KeyValueStore.prefix` of `@effect/platform` leaves out `clear`, `size`, `isEmpty` and the methods of bytes, and
 * no store can mend that.
 *
 * @example
 * ```ts
 * import { KeyValueStore as Platform } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { KeyValueStore, Storage } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const kv = yield* Platform.KeyValueStore
 *   yield* kv.set("theme", "dark")
 *   yield* kv.modify("theme", (theme) => theme.toUpperCase())
 *   return yield* kv.get("theme")
 * })
 *
 * const Live = KeyValueStore.layerPlatform({ prefix: "settings/" }).pipe(Layer.provide(Storage.layerMemory))
 *
 * Effect.runPromise(Effect.provide(program, Live)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPlatform = (
  options?: { readonly keyspace?: string | undefined; readonly prefix?: string | undefined }
): Layer.Layer<Platform.KeyValueStore, StorageError, Storage.Storage> =>
  Layer.effect(Platform.KeyValueStore, makePlatform(options))
