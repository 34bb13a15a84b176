/**
 * An HTTP cache for `HttpClient` of `@effect/platform`, after RFC 9111: what servers say of their responses decides what
 * is stored, how long it is used, and how it is validated.
 *
 * Bodies stream to the caller first and are stored in chunks, on any `Storage`. It is a private cache, of one user or
 * one program, unless it is told to be shared.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as HttpCacheStore from "./HttpCacheStore.js"
import { make as makeCache } from "./internal/httpCache/cache.js"
import { infoOf } from "./internal/httpCache/info.js"
import * as internal from "./internal/httpCache/metrics.js"
import { CurrentOptions } from "./internal/httpCache/settings.js"
import { make as makeStore } from "./internal/httpCache/store.js"
import type * as Storage from "./Storage.js"
import type { InvalidKey, StorageError } from "./StorageError.js"

/**
 * How the cache is used by a request; the names and meanings are those of `fetch`.
 *
 * - `default`: after RFC 9111
 * - `no-store`: neither read nor written
 * - `reload`: not read, but written
 * - `no-cache`: what is stored is validated before it is used, unless it is fresh and `immutable`
 * - `force-cache`: what is stored is used however old it is; else the origin is asked
 * - `only-if-cached`: what is stored is used however old it is; else there is a 504, or a `CacheMiss` (`onCacheMiss`)
 *
 * @since 0.1.0
 * @category models
 */
export type Mode = "default" | "no-store" | "reload" | "no-cache" | "force-cache" | "only-if-cached"

/**
 * What may be said of all requests, of those that a rule is about, and of one. What is said of one request comes before
 * what is said by the first rule that matches, and that before what is said of all.
 *
 * @since 0.1.0
 * @category models
 */
export interface Caching {
  /**
   * How long a response is fresh that does not tell, or until when. What the response says (`max-age`, `Expires`) comes
   * before it, unless `cacheControl` is `"ignore"`; heuristics come after it. Zero: what does not tell is not stored.
   * It is for the statuses of RFC 9110 section 15.1 (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501), or those of
   * `statuses`.
   */
  readonly timeToLive?: Duration.DurationInput | Date | undefined
  /** `"ignore"`: what responses say in `Cache-Control` and `Expires` counts for nothing, `no-store` included. */
  readonly cacheControl?: "respect" | "ignore" | undefined
  /**
   * How long a response is fresh that tells only when it was last modified: a tenth of its age then, and at most a
   * week. `false`: not at all.
   */
  readonly heuristics?:
    | false
    | { readonly fraction?: number | undefined; readonly atMost?: Duration.DurationInput | undefined }
    | undefined
  /** For how long a stale response is used while it is validated in the background, unless it tells; never. */
  readonly staleWhileRevalidate?: Duration.DurationInput | undefined
  /**
   * For how long a stale response stands in for an error of the origin, 5xx or none at all, unless it tells; not for
   * 5xx, and for `staleIfDisconnected` if the origin cannot be reached.
   */
  readonly staleIfError?: Duration.DurationInput | undefined
  /** For how long a stale response stands in if the origin cannot be reached, unless it tells; 1 day. */
  readonly staleIfDisconnected?: Duration.DurationInput | undefined
}

/**
 * What is said of one request.
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestOptions extends Caching {
  readonly mode?: Mode | undefined
  /** The response is stored with them, for `deleteTag`. */
  readonly tags?: ReadonlyArray<string> | undefined
}

/**
 * What is said of some requests.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rule extends Caching {
  /**
   * A pattern for scheme, host and path: `*` is anything without `/` (and in a host without `.`), `**` is anything.
   * Without a scheme it is for all; with a `?` it is for the query as well. Or an expression for the whole URL, or a
   * function.
   */
  readonly url?: string | RegExp | ((url: URL) => boolean) | undefined
  /** What more has to hold. */
  readonly when?: ((request: HttpClientRequest.HttpClientRequest) => boolean) | undefined
  /** `false`: these requests go by the cache. */
  readonly store?: boolean | undefined
  readonly tags?: ReadonlyArray<string> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends
  Caching,
  Pick<
    HttpCacheStore.Options,
    "name" | "maxBytes" | "maxEntries" | "maxEntryBytes" | "maxVariants" | "sweepInterval"
  >
{
  /** Whether what is stored is for one user, the default, or for many. */
  readonly mode?: "private" | "shared" | undefined
  /** The first that matches counts. */
  readonly rules?: ReadonlyArray<Rule> | undefined
  /** How long a response is kept after it was last fresh, to be validated or to stand in; 7 days. */
  readonly retain?: Duration.DurationInput | undefined
  /** What may be stored at all; all that the RFC allows. */
  readonly statuses?: ReadonlyArray<number> | ((status: number) => boolean) | undefined
  /**
   * Those that are cached, in place of GET and HEAD. With another one, POST or QUERY, the body is a part of the key; it has to be
   * text, JSON or bytes. A method that is named is taken for safe: it makes nothing invalid.
   */
  readonly methods?: ReadonlyArray<string> | undefined
  /** Parameters of the query that make no difference; `utm_*` is all that begin so. */
  readonly ignoredParameters?: ReadonlyArray<string> | undefined
  /** The only parameters of the query that make a difference. */
  readonly significantParameters?: ReadonlyArray<string> | undefined
  /** Whether the order of parameters makes no difference. */
  readonly sortedQuery?: boolean | undefined
  /** Request headers that make a difference, whatever the response says. */
  readonly keyHeaders?: ReadonlyArray<string> | undefined
  /**
   * How the values of a header that `Vary` names are compared: by what a function makes of them, or not at all (`false`).
   */
  readonly vary?: Readonly<Record<string, ((value: string) => string) | false>> | undefined
  /** Whose requests have what is stored in common: a tenant, a user. Others do not see it. */
  readonly partition?: ((request: HttpClientRequest.HttpClientRequest) => string | undefined) | undefined
  /** Targeted fields that stand for Cache-Control, the first that is there: RFC 9213. */
  readonly targets?: ReadonlyArray<string> | undefined
  /** Response headers with tags, beside `Cache-Groups`: `Cache-Tag`, `Surrogate-Key`. */
  readonly tagHeaders?: ReadonlyArray<string> | undefined
  /** Response headers that are not stored; with `set-cookie` no cookies are. */
  readonly droppedHeaders?: ReadonlyArray<string> | undefined
  /** Asked before a response is stored that may be. Its body is not there yet. */
  readonly shouldStore?:
    | ((
      request: HttpClientRequest.HttpClientRequest,
      response: HttpClientResponse.HttpClientResponse
    ) => Effect.Effect<boolean>)
    | undefined
  /** Asked before a stored response is used. */
  readonly shouldUse?:
    | ((
      request: HttpClientRequest.HttpClientRequest,
      stored: HttpCacheStore.StoredResponse
    ) => Effect.Effect<boolean>)
    | undefined
  /** While it is true, or gives true, the origin is not asked: what is stored is used however old it is. */
  readonly offline?: boolean | Effect.Effect<boolean> | undefined
  /** What becomes of a request that may only be answered from the cache, and is not: a 504 response, or a `CacheMiss`. */
  readonly onCacheMiss?: "respond" | "fail" | undefined
  /** Whether those who ask for the same at the same time wait for one response; true. */
  readonly singleFlight?: boolean | undefined
  /** The name of the cache in the header `Cache-Status`, which responses then have: RFC 9211. */
  readonly cacheStatus?: string | undefined
}

/**
 * A request was to be answered from the cache alone, and could not be.
 *
 * @since 0.1.0
 * @category errors
 */
export class CacheMiss extends Data.TaggedError("CacheMiss")<{
  readonly method: string
  readonly url: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.method} ${this.url} is not in the cache (${this.reason}), and the origin was not to be asked`
  }
}

/**
 * Why the origin was asked: the words of RFC 9211 section 2.2.
 *
 * @since 0.1.0
 * @category models
 */
export type ForwardReason = "bypass" | "method" | "uri-miss" | "vary-miss" | "request" | "stale" | "partial"

/**
 * How a response came about.
 *
 * @since 0.1.0
 * @category models
 */
export interface CacheInfo {
  /**
   * - `hit`: from the cache, fresh
   * - `stale`: from the cache, stale
   * - `revalidated`: from the cache, after the origin said that it is current
   * - `miss`: from the origin
   * - `bypass`: from the origin, and the cache had nothing to do with it
   */
  readonly outcome: "hit" | "stale" | "revalidated" | "miss" | "bypass"
  /** Why the origin was asked, if it was. */
  readonly forwarded: ForwardReason | undefined
  /** More of why. */
  readonly detail: string | undefined
  /**
   * Whether it waited for the response to another request: `true` if it is answered by that, `false` if it had to ask
   * itself after all, `undefined` if it did not wait.
   */
  readonly collapsed: boolean | undefined
  /** Whether it is stored, or will be when its body is all there. */
  readonly stored: boolean
  /** In milliseconds. */
  readonly age: number | undefined
  /** How long it is fresh from now on, in milliseconds; below zero, for how long it has been stale. */
  readonly timeToLive: number | undefined
  /** When it came from the origin, in milliseconds since the epoch. */
  readonly storedAt: number | undefined
  readonly key: string | undefined
}

/**
 * What happened.
 *
 * @since 0.1.0
 * @category models
 */
export type CacheEvent =
  | {
    readonly _tag: "Answered"
    readonly info: CacheInfo
    readonly method: string
    readonly status: number
    readonly url: string
  }
  | { readonly _tag: "Stored"; readonly bytes: number; readonly key: string; readonly url: string }
  | { readonly _tag: "NotStored"; readonly reason: string; readonly url: string }
  | { readonly _tag: "Invalidated"; readonly url: string }
  | { readonly _tag: "Damaged"; readonly key: string }
  | { readonly _tag: "Evicted"; readonly keys: number }
  /** A response that was used stale could not be validated in the background. */
  | { readonly _tag: "RevalidationFailed"; readonly cause: unknown; readonly url: string }
  /** The storage failed, and the request went on without it. */
  | { readonly _tag: "StorageFailed"; readonly error: StorageError | InvalidKey }

/**
 * What is known of a stored response, without its body.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredInfo {
  readonly key: string
  readonly url: string
  readonly method: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: number
  readonly tags: ReadonlyArray<string>
  /** In milliseconds since the epoch. */
  readonly storedAt: number
  /** Until when it is fresh, in milliseconds since the epoch. */
  readonly freshUntil: number
  /** From when it is not kept any more. */
  readonly expiresAt: number | undefined
}

/**
 * A request, or the URL of a GET.
 *
 * @since 0.1.0
 * @category models
 */
export type RequestInput = HttpClientRequest.HttpClientRequest | string | URL

/**
 * The cache behind the client: what is in it, by hand.
 *
 * @example
 * ```ts
 * import { FetchHttpClient, HttpClient } from "@effect/platform"
 * import { Effect, Layer, Option } from "effect"
 * import { HttpCache, Storage } from "effect-kv"
 *
 * const Live = HttpCache.layer({ name: "api" }).pipe(
 *   Layer.provide([FetchHttpClient.layer, Storage.layerMemory])
 * )
 *
 * const program = Effect.gen(function*() {
 *   const cache = yield* HttpCache.HttpCache
 *   const response = yield* HttpClient.get("https://api.example.com/users")
 *   console.log(Option.map(HttpCache.info(response), (info) => info.outcome))
 *   yield* cache.deletePrefix("https://api.example.com/users")
 * })
 *
 * export const main = Effect.provide(program, Live)
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class HttpCache extends Context.Tag("effect-kv/HttpCache")<HttpCache, {
  /** The client with this cache before it. */
  readonly transform: <E, R>(
    client: HttpClient.HttpClient.With<E, R>
  ) => HttpClient.HttpClient.With<E | CacheMiss | HttpClientError.RequestError, R>
  /** Whether there is a response that answers the request, fresh or stale. */
  readonly has: (request: RequestInput) => Effect.Effect<boolean, StorageError | InvalidKey>
  /** The stored response that answers the request, fresh or stale. */
  readonly get: (
    request: RequestInput
  ) => Effect.Effect<Option.Option<HttpClientResponse.HttpClientResponse>, StorageError | InvalidKey>
  /** Stores a response as if it had come from the origin now, if it may be; its body is read. Tells whether it was. */
  readonly put: (
    request: RequestInput,
    response: HttpClientResponse.HttpClientResponse,
    options?: RequestOptions
  ) => Effect.Effect<boolean, StorageError | InvalidKey | HttpClientError.ResponseError>
  /** Deletes all responses to a URL, and tells whether there were any. */
  readonly delete: (url: string | URL) => Effect.Effect<boolean, StorageError | InvalidKey>
  /** Deletes the responses to all URLs that begin so, with a scheme at least, and tells of how many. */
  readonly deletePrefix: (prefix: string) => Effect.Effect<number, StorageError | InvalidKey>
  /** The same for a host, with its port if that is not the usual one, over http and https. */
  readonly deleteHost: (host: string) => Effect.Effect<number, StorageError | InvalidKey>
  /** The same for all that have a tag. */
  readonly deleteTag: (tag: string) => Effect.Effect<number, StorageError | InvalidKey>
  /** All that is stored, in the order of URLs. Secrets in headers are redacted. */
  readonly entries: Stream.Stream<StoredInfo, StorageError | InvalidKey>
  /** How many URLs there are, each for every partition that it is in. */
  readonly size: Effect.Effect<number, StorageError>
  readonly bytes: Effect.Effect<number, StorageError>
  readonly clear: Effect.Effect<number, StorageError>
  readonly removeExpired: Effect.Effect<number, StorageError>
  /** What happens from now on. Who is slow misses some. */
  readonly events: Stream.Stream<CacheEvent>
}>() {}

const joined = (outer: RequestOptions, inner: RequestOptions): RequestOptions => ({
  ...outer,
  ...Object.fromEntries(Object.entries(inner).filter(([, value]) => value !== undefined)),
  tags: [...(outer.tags ?? []), ...(inner.tags ?? [])]
})

/**
 * What is said of the requests that an effect makes. What was said round it holds as well, where this says nothing; tags
 * are all that were said.
 *
 * @example
 * ```ts
 * import { HttpClient } from "@effect/platform"
 * import { HttpCache } from "effect-kv"
 *
 * export const users = HttpClient.get("https://api.example.com/users").pipe(
 *   HttpCache.withOptions({ mode: "no-cache", tags: ["users"] })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withOptions: {
  (options: RequestOptions): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, options: RequestOptions): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, options: RequestOptions): Effect.Effect<A, E, R> =>
    Effect.flatMap(CurrentOptions, (outer) => Effect.provideService(self, CurrentOptions, joined(outer, options)))
)

/**
 * The requests that an effect makes go by the cache: it is neither read nor written. Unsafe methods invalidate all the
 * same.
 *
 * @since 0.1.0
 * @category combinators
 */
export const disabled = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  withOptions(self, { mode: "no-store" })

/**
 * How a response came about; none if no cache had to do with it.
 *
 * @since 0.1.0
 * @category observability
 */
export const info: (response: HttpClientResponse.HttpClientResponse) => Option.Option<CacheInfo> = infoOf

/**
 * A cache, without a client. Options that are not valid fail as `InvalidValue`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<HttpCache["Type"], StorageError, Scope.Scope | Storage.Storage> =>
  makeCache(options, (fields) => new CacheMiss(fields), (on) => makeStore({ ...options, ...on }))

/**
 * The same over a store that you bring. Its bounds are its own.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeWithStore = (
  options: Omit<Options, Exclude<keyof HttpCacheStore.Options, "name">> = {}
): Effect.Effect<HttpCache["Type"], StorageError, Scope.Scope | HttpCacheStore.HttpCacheStore> =>
  makeCache(options, (fields) => new CacheMiss(fields), () => HttpCacheStore.HttpCacheStore)

/**
 * The client with the cache of the context before it: for a client of its own, beside the one of `layer`, or for one
 * whose errors are not those of `HttpClient`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const transform = <E, R>(
  client: HttpClient.HttpClient.With<E, R>
): Effect.Effect<
  HttpClient.HttpClient.With<E | CacheMiss | HttpClientError.RequestError, R>,
  never,
  HttpCache
> => Effect.map(HttpCache, (cache) => cache.transform(client))

/**
 * A cache, without a client, to be put before one by `transform`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerCache = (options?: Options): Layer.Layer<HttpCache, StorageError, Storage.Storage> =>
  Layer.scoped(HttpCache, make(options))

/** The client of the context fails by nothing else: a `CacheMiss` is the cause of its error. */
const asClient = (cache: HttpCache["Type"], client: HttpClient.HttpClient): HttpClient.HttpClient => {
  const { execute } = cache.transform(client)
  return HttpClient.makeWith<never, never, HttpClientError.HttpClientError, never>(
    (effect) =>
      Effect.flatMap(effect, (request) =>
        Effect.catchTag(execute(request), "CacheMiss", (cause) =>
          Effect.fail(
            new HttpClientError.RequestError({ cause, description: cause.message, reason: "Transport", request })
          ))),
    Effect.succeed
  )
}

/**
 * A cache before the client of the context: all who use `HttpClient` have it.
 *
 * A request that may only be answered from the cache, and is not, has a response of status 504; or it fails with a
 * `RequestError` whose cause is a `CacheMiss`, if `onCacheMiss` is `"fail"`.
 *
 * @example
 * ```ts
 * import { FetchHttpClient, HttpClient } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { HttpCache, Sqlite, Storage } from "effect-kv"
 *
 * const Live = HttpCache.layer({ maxBytes: 100_000_000 }).pipe(
 *   Layer.provide(Storage.layer()),
 *   Layer.provide(Sqlite.layer({ filename: "~/.cache/app/http.sqlite" })),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 *
 * const program = Effect.flatMap(HttpClient.get("https://example.com/"), (response) => response.text)
 *
 * export const main = Effect.provide(program, Live)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: Options
): Layer.Layer<HttpCache | HttpClient.HttpClient, StorageError, HttpClient.HttpClient | Storage.Storage> =>
  Layer.flatMap(layerCache(options), (context) => {
    const cache = Context.get(context, HttpCache)
    return Layer.merge(
      Layer.succeed(HttpCache, cache),
      Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, (client) => asClient(cache, client)))
    )
  })

/**
 * What is counted, by cache (the label `cache`), over all caches of the process.
 *
 * @since 0.1.0
 * @category observability
 */
export const metrics: {
  readonly bypasses: Metric.Metric.Counter<number>
  readonly bytesServed: Metric.Metric.Counter<number>
  readonly collapsed: Metric.Metric.Counter<number>
  readonly damaged: Metric.Metric.Counter<number>
  readonly errors: Metric.Metric.Counter<number>
  readonly evictions: Metric.Metric.Counter<number>
  readonly hits: Metric.Metric.Counter<number>
  readonly invalidations: Metric.Metric.Counter<number>
  readonly misses: Metric.Metric.Counter<number>
  readonly revalidations: Metric.Metric.Counter<number>
  readonly staleHits: Metric.Metric.Counter<number>
  readonly stores: Metric.Metric.Counter<number>
} = internal.metrics
