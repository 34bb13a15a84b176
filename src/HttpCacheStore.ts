/**
 * Where an HTTP cache keeps responses: what is known of them, and their bodies, on any `Storage`.
 *
 * `HttpCache` decides what is stored and used; this stores. It can be used alone, and another one can be put in its
 * place.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import { make as makeStore } from "./internal/httpCache/store.js"
import * as Storage from "./Storage.js"
import type { InvalidKey, StorageError } from "./StorageError.js"

/**
 * A response that is stored, without its body. Times are milliseconds since the epoch.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredResponse {
  /** Names its body. */
  readonly id: string
  /** The URL of the request, in its normal form. */
  readonly url: string
  /** The method of the request: of a response to HEAD there is no body. */
  readonly method: string
  readonly status: number
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The Set-Cookie fields, each as it came. */
  readonly cookies: ReadonlyArray<string>
  /** What the request had in the fields that Vary names; null for one that it did not have. Secrets are hashed. */
  readonly vary: Readonly<Record<string, string | null>>
  /** When it was asked for, and when it came. */
  readonly requestTime: number
  readonly responseTime: number
  /** The length of its body. */
  readonly bytes: number
  /** Of a 206: which part of the whole the body is. */
  readonly range?: {
    readonly first: number
    readonly last: number
    readonly total?: number | undefined
  } | undefined
  /** How long it is fresh, in milliseconds, if it does not tell. */
  readonly timeToLive?: number | undefined
  readonly tags: ReadonlyArray<string>
  /** From when it is not kept any more, not even stale. */
  readonly expiresAt?: number | undefined
}

/**
 * A response that is to be stored.
 *
 * @since 0.1.0
 * @category models
 */
export type NewResponse = Omit<StoredResponse, "bytes" | "id">

/**
 * The body of a stored response, or a part of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Body {
  readonly bytes: number
  /** The whole of it, if it is short enough to be read at once. */
  readonly whole: Uint8Array | undefined
  /** Piece by piece, as often as it is run. Fails as `Corrupt` where a piece is damaged or gone. */
  readonly stream: Stream.Stream<Uint8Array, StorageError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface WriteOptions {
  /** Asked when all is there: whether it is stored at all. */
  readonly isWanted?: (() => boolean) | undefined
}

/**
 * A response with the key under which it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry {
  readonly key: string
  readonly response: StoredResponse
}

/**
 * Stored responses by key. Under one key there may be several, which differ in what Vary names, in method, or in range.
 * What has expired is absent. Keys are text of at most 900 bytes; one that is longer fails as `InvalidKey`.
 *
 * @example
 * ```ts
 * import { Console, Effect } from "effect"
 * import { HttpCacheStore } from "effect-kv"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* HttpCacheStore.HttpCacheStore
 *   yield* store.write("greeting", {
 *     cookies: [],
 *     headers: { "content-type": "text/plain" },
 *     method: "GET",
 *     requestTime: 0,
 *     responseTime: 0,
 *     status: 200,
 *     tags: [],
 *     url: "https://example.com/",
 *     vary: {}
 *   }, new TextEncoder().encode("hello"))
 *   const [response] = yield* store.read("greeting")
 *   yield* Console.log(response?.bytes) // 5
 * })
 *
 * Effect.runPromise(Effect.provide(program, HttpCacheStore.layerMemory))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class HttpCacheStore extends Context.Tag("effect-kv/HttpCacheStore")<HttpCacheStore, {
  /** All responses under a key, the latest first. */
  readonly read: (key: string) => Effect.Effect<ReadonlyArray<StoredResponse>, StorageError | InvalidKey>
  /**
   * The body of a response, or the part of it from byte `first` through `last`. None if it is gone or damaged; then the
   * response is removed.
   */
  readonly body: (
    key: string,
    response: StoredResponse,
    range?: { readonly first: number; readonly last: number }
  ) => Effect.Effect<Option.Option<Body>, StorageError | InvalidKey>
  /**
   * Stores a response, in place of one that it would answer for. Nothing is stored if its body fails or is interrupted.
   * None if it is too large, or not wanted, or there is a later one.
   */
  readonly write: <E = never, R = never>(
    key: string,
    response: NewResponse,
    body: Uint8Array | Stream.Stream<Uint8Array, E, R>,
    options?: WriteOptions
  ) => Effect.Effect<Option.Option<StoredResponse>, E | StorageError | InvalidKey, R>
  /** Changes what is known of responses, and not their bodies; atomically. One that is left out is removed. */
  readonly update: (
    key: string,
    f: (responses: ReadonlyArray<StoredResponse>) => ReadonlyArray<StoredResponse>
  ) => Effect.Effect<void, StorageError | InvalidKey>
  readonly contains: (key: string) => Effect.Effect<boolean, StorageError | InvalidKey>
  /** Whether there was something to delete. */
  readonly delete: (key: string) => Effect.Effect<boolean, StorageError | InvalidKey>
  /** How many of the keys there were. */
  readonly deleteMany: (keys: Iterable<string>) => Effect.Effect<number, StorageError | InvalidKey>
  /** Deletes all keys that begin so, and tells how many. */
  readonly deletePrefix: (prefix: string) => Effect.Effect<number, StorageError | InvalidKey>
  /** Deletes all keys under which there is a response with the tag, and tells how many. */
  readonly deleteTag: (tag: string) => Effect.Effect<number, StorageError | InvalidKey>
  /** Removes what is under a key and gives it to exactly one caller, with the bodies. */
  readonly take: (
    key: string
  ) => Effect.Effect<
    ReadonlyArray<{ readonly body: Uint8Array; readonly response: StoredResponse }>,
    StorageError | InvalidKey
  >
  readonly keys: (
    options?: { readonly prefix?: string | undefined }
  ) => Stream.Stream<string, StorageError | InvalidKey>
  /** All responses, in the order of their keys, without bodies; or those under the first keys only, as many as `limit`. */
  readonly values: (
    options?: { readonly limit?: number | undefined; readonly prefix?: string | undefined }
  ) => Stream.Stream<Entry, StorageError | InvalidKey>
  /** How many keys there are. */
  readonly size: Effect.Effect<number, StorageError>
  /** How many bytes all that is stored has, bodies and what is known of them. */
  readonly bytes: Effect.Effect<number, StorageError>
  /** Deletes all and tells how many keys there were. */
  readonly clear: Effect.Effect<number, StorageError>
  /** Frees the room of what has expired, and tells how many bodies went. */
  readonly removeExpired: Effect.Effect<number, StorageError>
  /** Does all or nothing of what the effect does to the store. */
  readonly bulk: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | StorageError, R>
  /** A response was used: it is one of the last to be evicted. */
  readonly used: (key: string) => Effect.Effect<void>
}>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Two stores with one name are the same, and with two names have nothing in common; `"default"`. */
  readonly name?: string | undefined
  /** A body that is longer is not stored; 4 GiB. */
  readonly maxEntryBytes?: number | undefined
  /** More is not kept: what was not used for the longest time goes. */
  readonly maxBytes?: number | undefined
  /** More keys are not kept: what was not used for the longest time goes. */
  readonly maxEntries?: number | undefined
  /** How many responses are kept under one key; 16. The oldest goes. */
  readonly maxVariants?: number | undefined
  /** How often the room of what has expired is freed; 1 minute. `false`: only by `removeExpired`. */
  readonly sweepInterval?: Duration.DurationInput | false | undefined
  /** Called with how many keys were evicted. */
  readonly onEvicted?: ((keys: number) => Effect.Effect<void>) | undefined
  /** Called when a response was found damaged, and removed. */
  readonly onDamaged?: ((key: string) => Effect.Effect<void>) | undefined
}

/**
 * Fails as `InvalidValue` if an option is not what it has to be.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<HttpCacheStore, StorageError, Storage.Storage> =>
  Layer.scoped(HttpCacheStore, makeStore(options))

/**
 * In memory, for tests and for what need not outlive the process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<HttpCacheStore, StorageError> = Layer.provide(layer(), Storage.layerMemory)
