/**
 * Memoised functions: what a function has answered is stored, and answers the next call with the same arguments, in
 * this process and in every other one on the same `Storage`.
 *
 * `make` memoises a function that returns an effect, `promise` one that returns a promise, `request` a
 * `RequestResolver`; `Tag` makes the memoised function a service. Of callers that ask for the same at the same time one
 * calls the function. What goes wrong with the storage never breaks the function: the call goes through.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import type * as Option from "effect/Option"
import type * as Request from "effect/Request"
import type * as RequestResolver from "effect/RequestResolver"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Types from "effect/Types"
import type * as Codec from "./Codec.js"
import { makeDouble } from "./internal/memoize/double.js"
import * as internal from "./internal/memoize/memo.js"
import * as observed from "./internal/memoize/metrics.js"
import { fromPromise } from "./internal/memoize/promise.js"
import * as requests from "./internal/memoize/request.js"
import { bypassing } from "./internal/memoize/situation.js"
import * as versions from "./internal/memoize/versions.js"
import { inMemory } from "./internal/store/tag.js"
import type * as Storage from "./Storage.js"
import type { StorageError } from "./StorageError.js"

/**
 * What may be wrong with storing an answer, or with reading one: the engine fails, or a value, an argument, or what is
 * stored does not fit its schema.
 *
 * @since 0.1.0
 * @category errors
 */
export type Trouble = StorageError | Codec.CodecError

/**
 * What a custom key is made of. Two keys are equal only if all in them is: `1` and `"1"`, `0` and `-0`, `{}` and
 * `{ a: undefined }` differ. The order of an object's members, of a map and of a set does not matter.
 *
 * @since 0.1.0
 * @category models
 */
export type Key =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | Date
  | Uint8Array
  | ReadonlyArray<Key>
  | ReadonlySet<Key>
  | ReadonlyMap<Key, Key>
  | { readonly [member: string]: Key }

/**
 * A stored answer, as `peek` shows it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Peeked<out A, out E = never> {
  readonly exit: Exit.Exit<A, E>
  /** Fresh: a call is answered by it. Stale: its time to live is over, or it was invalidated softly. */
  readonly state: "fresh" | "stale"
  /** How long ago it was stored. */
  readonly age: Duration.Duration
  /** How long it still is fresh; infinite if it does not expire, zero if it is stale. */
  readonly timeToLive: Duration.Duration
}

/**
 * What can be done to stored answers, by the arguments of the call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Controls<in Args extends ReadonlyArray<unknown>, out A, out E> {
  /**
   * Forgets the answer; tells whether there was one. What is being computed meanwhile, in this process or in another
   * one, is not stored, and calls that come later do not wait for it.
   */
  readonly invalidate: (...args: Args) => Effect.Effect<boolean, Trouble>
  /**
   * Has the answer be stale from now on: the next call computes, and the old answer is a fallback if that fails, or is
   * slow (`softTimeout`), for as long as it would have been kept. With `staleWhileRevalidate` it is answered once more
   * while the new one is computed. Tells whether there was an answer.
   */
  readonly softInvalidate: (...args: Args) => Effect.Effect<boolean, Trouble>
  /** Forgets all answers, of all versions; tells how many there were. */
  readonly invalidateAll: Effect.Effect<number, StorageError>
  /** The stored answer, if any; looking changes nothing, starts nothing and is not counted. */
  readonly peek: (...args: Args) => Effect.Effect<Option.Option<Peeked<A, E>>, Trouble>
  /** The key under which the answer is stored: 64 hexadecimal digits, the same in every process. */
  readonly keyOf: (...args: Args) => Effect.Effect<string, Codec.CodecError>
}

/**
 * A memoised function.
 *
 * @since 0.1.0
 * @category models
 */
export interface Memo<in Args extends ReadonlyArray<unknown>, out A, out E = never> extends Controls<Args, A, E> {
  (...args: Args): Effect.Effect<A, E>
  /**
   * Calls the function, whatever is stored, and stores its answer. Callers that come meanwhile and find nothing fresh
   * wait for it; what was being computed when it began is not stored.
   */
  readonly refresh: (...args: Args) => Effect.Effect<A, E>
}

/**
 * What is the same for every kind of memoised function. `A` is what it answers, `F` the failures that are stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommonOptions<Args extends ReadonlyArray<unknown>, A, F, IF, RF, RO> {
  /** Which failures are stored as answers (negative caching); none. Defects and interruption never are. */
  readonly failure?: Schema.Schema<F, IF, RF> | undefined
  /** Raise it when what the function answers changes: what older versions stored is not found any more; 1. */
  readonly version?: number | string | undefined
  /** Where the answers are stored; `memo/` and the name. A keyspace belongs to one function. */
  readonly keyspace?: string | undefined
  /** How answers are written, given their schema; `Codec.json`. */
  readonly codec?: (<T, I, R>(schema: Schema.Schema<T, I, R>) => Codec.Codec<T, R>) | undefined
  /** How long an answer is fresh. Zero or less: it is not stored. Infinite: it does not expire. */
  readonly timeToLive: Duration.DurationInput | ((exit: Exit.Exit<A, F>, args: Args) => Duration.DurationInput)
  /** What tells calls apart, instead of all their arguments. */
  readonly key?: ((...args: Types.Mutable<Args>) => Key) | undefined
  /** By which `invalidateTag` finds the answer. Stored failures have none. */
  readonly tags?: ((args: Args, value: A) => Iterable<string>) | undefined
  /**
   * Whether to memoise now; asked at each call. While it is false, and if it fails, calls go through and nothing is
   * stored.
   */
  readonly enabled?: Effect.Effect<boolean, unknown, RO> | undefined
  /** How long a stale answer is answered at once, while it is computed anew in the background. */
  readonly staleWhileRevalidate?: Duration.DurationInput | undefined
  /** How long a stale answer is answered when the function fails. Failures that are stored count as answers. */
  readonly staleIfError?: Duration.DurationInput | undefined
  /** How long the function is not called again after it has failed while there was a stale answer; 10 seconds. */
  readonly backOff?: Duration.DurationInput | undefined
  /**
   * How long a call waits for the function if there is a stale answer (`staleIfError`, `softInvalidate`), before it is
   * answered with that. The function goes on, and its answer is stored.
   */
  readonly softTimeout?: Duration.DurationInput | undefined
  /**
   * Computes some answers before they expire, in the background: the more likely the less life they have left and the
   * longer the function took (XFetch). A `beta` above 1, the default, favours earlier.
   */
  readonly earlyRefresh?: boolean | { readonly beta?: number | undefined } | undefined
  /** Keeps decoded answers in memory, before the storage. They are shared by all callers, who must not change them. */
  readonly inMemory?: {
    /** How many; those that were not used for longest go first. */
    readonly capacity: number
    /** How long what another process writes may go unnoticed; 1 second. */
    readonly maxAge?: Duration.DurationInput | undefined
  } | undefined
  /** How many answers are kept; any number. */
  readonly maxEntries?: number | undefined
  /** How many bytes of stored keys and answers are kept; any number. An answer that is longer alone is not stored. */
  readonly maxBytes?: number | undefined
  /** Which answers go when there are too many; `"least-recently-stored"`. */
  readonly eviction?: "least-recently-stored" | "least-recently-used" | undefined
}

/**
 * How a function is memoised, but for its name.
 *
 * @since 0.1.0
 * @category models
 */
export interface FunctionOptions<
  Args extends ReadonlyArray<unknown>,
  IArgs,
  RArgs,
  A,
  IA,
  RA,
  F,
  IF,
  RF,
  RO,
  H extends Duration.DurationInput | undefined,
  D extends "recompute" | "fail",
  S extends "call" | "fail"
> extends CommonOptions<Args, A, F, IF, RF, RO> {
  /** The arguments, as a tuple. Calls whose encoded arguments are equal have one answer. */
  readonly args: Schema.Schema<Args, IArgs, RArgs>
  /** What the function answers. */
  readonly success: Schema.Schema<A, IA, RA>
  /** How long the function may take. Then it is interrupted, and all who wait fail with `TimeoutException`. */
  readonly hardTimeout?: H | undefined
  /**
   * What becomes of a stored answer that does not fit its schema any more: it is computed again (`"recompute"`, the
   * default), or the call fails with `CodecError`.
   */
  readonly onDecodeFailure?: D | undefined
  /**
   * What becomes of a call when the storage fails, or something cannot be encoded: it goes through and the trouble is
   * counted and logged (`"call"`, the default), or it fails with that error.
   */
  readonly onStorageFailure?: S | undefined
  /**
   * Has one process compute at a time: it holds a lease of this life, which it renews while it computes. If it is
   * killed, others wait at most so long.
   */
  readonly lease?: Duration.DurationInput | undefined
}

/**
 * How a function is memoised.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<
  Args extends ReadonlyArray<unknown>,
  IArgs,
  RArgs,
  A,
  IA,
  RA,
  F,
  IF,
  RF,
  RO,
  H extends Duration.DurationInput | undefined,
  D extends "recompute" | "fail",
  S extends "call" | "fail"
> extends FunctionOptions<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO, H, D, S> {
  /** Tells functions apart. Two memoised functions on one Storage have different names. */
  readonly name: string
}

/**
 * What calls fail with beside the failures of the function.
 *
 * @since 0.1.0
 * @category errors
 */
export type Failures<H, D, S> =
  | (H extends undefined ? never : Cause.TimeoutException)
  | (D extends "fail" ? Codec.CodecError : never)
  | (S extends "fail" ? Trouble : never)

/**
 * Memoises a function that returns an effect, in the `Storage` of the context. What the function and the schemas need
 * is taken here, once, so that calls need nothing. Answers that are computed in the background are computed as long as
 * the scope lives.
 *
 * In a transaction a call reads, and stores, in the transaction, and computes for itself; nothing is computed in the
 * background.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Memoize, Storage } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const lengthOf = yield* Memoize.make({
 *     args: Schema.Tuple(Schema.String),
 *     name: "lengthOf",
 *     success: Schema.Number,
 *     timeToLive: "10 minutes"
 *   }, (text) => Effect.as(Effect.log("computing"), text.length))
 *
 *   yield* lengthOf("hello") // computes
 *   yield* lengthOf("hello") // does not
 *   yield* lengthOf.invalidate("hello")
 *   return yield* lengthOf("hello") // computes again
 * })
 *
 * Effect.runPromise(Effect.scoped(Effect.provide(program, Storage.layerMemory)))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export function make<
  Args extends ReadonlyArray<unknown>,
  IArgs,
  RArgs,
  A,
  IA,
  RA,
  E,
  R,
  F = never,
  IF = never,
  RF = never,
  RO = never,
  H extends Duration.DurationInput | undefined = undefined,
  D extends "recompute" | "fail" = "recompute",
  S extends "call" | "fail" = "call"
>(
  options: Options<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO, H, D, S>,
  f: (...args: Types.Mutable<Args>) => Effect.Effect<A, E, R>
): Effect.Effect<
  Memo<Args, A, E | F | Failures<H, D, S>>,
  StorageError,
  Storage.Storage | Scope.Scope | R | RArgs | RA | RF | RO
>
export function make<
  Args extends ReadonlyArray<unknown>,
  IArgs,
  RArgs,
  A,
  IA,
  RA,
  E,
  R,
  F,
  IF,
  RF,
  RO,
  H extends Duration.DurationInput | undefined,
  D extends "recompute" | "fail",
  S extends "call" | "fail"
>(
  options: Options<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO, H, D, S>,
  f: (...args: Types.Mutable<Args>) => Effect.Effect<A, E, R>
) {
  return internal.make(options, f)
}

/**
 * Memoises a function that returns a promise. It is given an `AbortSignal` after its arguments, which is aborted when
 * nobody waits for the answer any more. What it throws, and what the promise is rejected with, is an `UnknownException`,
 * or what `catch` makes of it.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Memoize, Storage } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const statusOf = yield* Memoize.promise({
 *     args: Schema.Tuple(Schema.String),
 *     name: "statusOf",
 *     success: Schema.Number,
 *     timeToLive: "1 minute"
 *   }, (url, signal) => fetch(url, { signal }).then((response) => response.status))
 *
 *   return yield* statusOf("http://localhost:1/")
 * })
 *
 * Effect.runPromiseExit(Effect.scoped(Effect.provide(program, Storage.layerMemory)))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export function promise<
  Args extends ReadonlyArray<unknown>,
  IArgs,
  RArgs,
  A,
  IA,
  RA,
  E = Cause.UnknownException,
  F = never,
  IF = never,
  RF = never,
  RO = never,
  H extends Duration.DurationInput | undefined = undefined,
  D extends "recompute" | "fail" = "recompute",
  S extends "call" | "fail" = "call"
>(
  options: Options<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO, H, D, S> & {
    readonly catch?: ((error: unknown) => E) | undefined
  },
  f: (...args: [...Types.Mutable<Args>, AbortSignal]) => A | Promise<A>
): Effect.Effect<
  Memo<Args, A, E | F | Failures<H, D, S>>,
  StorageError,
  Storage.Storage | Scope.Scope | RArgs | RA | RF | RO
>
export function promise<
  Args extends ReadonlyArray<unknown>,
  IArgs,
  RArgs,
  A,
  IA,
  RA,
  E,
  F,
  IF,
  RF,
  RO,
  H extends Duration.DurationInput | undefined,
  D extends "recompute" | "fail",
  S extends "call" | "fail"
>(
  options: Options<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO, H, D, S> & {
    readonly catch?: ((error: unknown) => E) | undefined
  },
  f: (...args: [...Types.Mutable<Args>, AbortSignal]) => A | Promise<A>
) {
  return internal.make(options, fromPromise(options.args, f, options.catch))
}

/**
 * A `RequestResolver` whose answers are stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolver<Req extends Request.Request<unknown, unknown>>
  extends
    RequestResolver.RequestResolver<Req>,
    Controls<readonly [request: Req], Request.Request.Success<Req>, Request.Request.Error<Req>>
{}

/**
 * How a `RequestResolver` is memoised.
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestOptions<Req extends Request.Request<unknown, unknown>, IReq, RReq, IA, RA, F, IF, RF, RO>
  extends CommonOptions<readonly [request: Req], Request.Request.Success<Req>, F, IF, RF, RO>
{
  /** The class of the requests: a `Schema.TaggedRequest`. */
  readonly request: Schema.Schema<Req, IReq, RReq> & {
    readonly _tag: string
    readonly success: Schema.Schema<Request.Request.Success<Req>, IA, RA>
  }
  /** The tag of the requests. */
  readonly name?: string | undefined
}

/**
 * Memoises a `RequestResolver` for a `Schema.TaggedRequest`. However many requests are made at once, what is stored of
 * them is read in one round trip, and the resolver is given all others in one batch.
 *
 * Arguments and successes have the schemas of the request; failures are stored if there is a `failure`. Its name is the
 * tag, unless there is another one. What the resolver does not complete is an interruption, as without this.
 *
 * @example
 * ```ts
 * import { Effect, Request, RequestResolver, Schema } from "effect"
 * import { Memoize, Storage } from "effect-kv"
 *
 * class Square extends Schema.TaggedRequest<Square>()("Square", {
 *   failure: Schema.Never,
 *   payload: { of: Schema.Number },
 *   success: Schema.Number
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const resolver = yield* Memoize.request(
 *     { request: Square, timeToLive: "1 day" },
 *     RequestResolver.makeBatched((squares: ReadonlyArray<Square>) =>
 *       Effect.forEach(squares, (square) => Request.succeed(square, square.of ** 2), { discard: true })
 *     )
 *   )
 *   return yield* Effect.forEach([1, 2, 3], (of) => Effect.request(new Square({ of }), resolver), { batching: true })
 * })
 *
 * Effect.runPromise(Effect.scoped(Effect.provide(program, Storage.layerMemory))).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const request: <
  Req extends Request.Request<unknown, unknown>,
  IReq,
  RReq,
  IA,
  RA,
  R,
  F extends Request.Request.Error<Req> = never,
  IF = never,
  RF = never,
  RO = never
>(
  options: RequestOptions<Req, IReq, RReq, IA, RA, F, IF, RF, RO>,
  resolver: RequestResolver.RequestResolver<Req, R>
) => Effect.Effect<Resolver<Req>, StorageError, Storage.Storage | Scope.Scope | R | RReq | RA | RF | RO> = requests.make

/**
 * A memoised function as a service.
 *
 * @since 0.1.0
 * @category tags
 */
export interface TagClass<Self, Id extends string, Args extends ReadonlyArray<unknown>, A, E, R, X = never>
  extends Context.TagClass<Self, Id, Memo<Args, A, E | X>>
{
  /** The memoised function, in the `Storage` of the context. */
  readonly layer: Layer.Layer<Self, StorageError, Storage.Storage | R>
  /** The memoised function in a memory of its own. */
  readonly layerMemory: Layer.Layer<Self, StorageError, R>
  /** A test double: another function, that is called each time. Nothing is stored, so there is nothing to invalidate. */
  readonly layerTest: <RT = never>(f: (...args: Args) => Effect.Effect<A, E | X, RT>) => Layer.Layer<Self, never, RT>
}

/**
 * Defines a memoised function as a service: the class is its tag and has its layers. Its name is the id, unless there is
 * another one.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Memoize } from "effect-kv"
 *
 * class LengthOf extends Memoize.Tag<LengthOf>()("app/LengthOf", {
 *   args: Schema.Tuple(Schema.String),
 *   success: Schema.Number,
 *   timeToLive: "10 minutes"
 * }, (text) => Effect.succeed(text.length)) {}
 *
 * const program = Effect.gen(function*() {
 *   const lengthOf = yield* LengthOf
 *   return yield* lengthOf("hello")
 * })
 *
 * Effect.runPromise(Effect.provide(program, LengthOf.layerMemory)).then(console.log)
 * // in a test
 * Effect.runPromise(Effect.provide(program, LengthOf.layerTest(() => Effect.succeed(42)))).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const Tag = <Self>() =>
<
  const Id extends string,
  Args extends ReadonlyArray<unknown>,
  IArgs,
  RArgs,
  A,
  IA,
  RA,
  E,
  R,
  F = never,
  IF = never,
  RF = never,
  RO = never,
  H extends Duration.DurationInput | undefined = undefined,
  D extends "recompute" | "fail" = "recompute",
  S extends "call" | "fail" = "call"
>(
  id: Id,
  options: FunctionOptions<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO, H, D, S> & {
    readonly name?: string | undefined
  },
  f: (...args: Types.Mutable<Args>) => Effect.Effect<A, E, R>
): TagClass<Self, Id, Args, A, E | F, R | RArgs | RA | RF | RO, Failures<H, D, S>> => {
  const tag = Context.Tag(id)<Self, Memo<Args, A, E | F | Failures<H, D, S>>>()
  const layer = Layer.scoped(tag, make({ ...options, name: options.name ?? id }, f))
  return Object.assign(tag, {
    layer,
    layerMemory: inMemory(layer),
    layerTest: <RT>(f: (...args: Args) => Effect.Effect<A, E | F | Failures<H, D, S>, RT>) =>
      Layer.effect(tag, makeDouble(options.name ?? id, f))
  })
}

/**
 * Invalidates all answers that have the tag, of all memoised functions in the `Storage` of the context. It is one short
 * write, however many they are. What was being computed when it was written is invalid too; what is computed from then
 * on is valid, also in the same millisecond.
 *
 * With `soft` they become stale instead, as by `softInvalidate`.
 *
 * @since 0.1.0
 * @category invalidation
 */
export const invalidateTag = (
  tag: string,
  options?: { readonly soft?: boolean | undefined }
): Effect.Effect<void, StorageError, Storage.Storage> => invalidateTags([tag], options)

/**
 * `invalidateTag` for several, all or none.
 *
 * @since 0.1.0
 * @category invalidation
 */
export const invalidateTags: (
  tags: Iterable<string>,
  options?: { readonly soft?: boolean | undefined }
) => Effect.Effect<void, StorageError, Storage.Storage> = versions.invalidateTags

/**
 * Has all memoised functions that the effect calls go round what is stored: they are called, and nothing is stored.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Memoize, Storage } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const today = yield* Memoize.make({
 *     args: Schema.Tuple(),
 *     name: "today",
 *     success: Schema.Number,
 *     timeToLive: "1 day"
 *   }, () => Effect.clockWith((clock) => clock.currentTimeMillis))
 *
 *   return yield* Memoize.bypass(today())
 * })
 *
 * Effect.runPromise(Effect.scoped(Effect.provide(program, Storage.layerMemory))).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const bypass: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = bypassing

/**
 * What is counted, by memoised function (the label `memo`, its name), over the whole process: `hits`; `misses`, the calls
 * for which nothing was stored that could be given at once; `staleHits`, those that were given a stale answer, at once or
 * in the end; `collapsed`, the calls that waited for another one's answer; `refreshes`, by hand or in the
 * background; `bypasses`, the calls that went round; `errors`, the troubles with the storage that calls were not told;
 * `evictions`, the answers that were one too many; `lookupTime`, how long the function took, as a histogram in
 * milliseconds.
 *
 * @since 0.1.0
 * @category observability
 */
export const metrics: {
  readonly bypasses: Metric.Metric.Counter<number>
  readonly collapsed: Metric.Metric.Counter<number>
  readonly errors: Metric.Metric.Counter<number>
  readonly evictions: Metric.Metric.Counter<number>
  readonly hits: Metric.Metric.Counter<number>
  readonly lookupTime: Metric.Metric.Histogram<number>
  readonly misses: Metric.Metric.Counter<number>
  readonly refreshes: Metric.Metric.Counter<number>
  readonly staleHits: Metric.Metric.Counter<number>
} = observed.metrics
