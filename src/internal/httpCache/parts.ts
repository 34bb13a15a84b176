/**
 * What an HTTP cache is made of.
 *
 * @internal
 */
import type { RequestError } from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import type * as HttpCache from "../../HttpCache.js"
import type { HttpCacheStore, Options as StoreOptions, StoredResponse } from "../../HttpCacheStore.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { makeTroubles } from "../store/troubles.js"
import type { Asked } from "./asked.js"
import { mostEntryBytes } from "./bodies.js"
import type { Decision } from "./evaluate.js"
import { type Fetch, Fetches } from "./fetches.js"
import { type Counts, countsOf } from "./metrics.js"
import type { Settings } from "./settings.js"

/** @internal */
export type Live = HttpClientResponse.HttpClientResponse

/** @internal */
export type Execute<E, R> = (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<Live, E, R>

/** @internal */
export type Trouble = StorageError | InvalidKey

/**
 * How a request fails beside what its client fails by.
 *
 * @internal
 */
export type Failure = HttpCache.CacheMiss | RequestError

/**
 * What is stored for a request, and what is to be done with it.
 *
 * @internal
 */
export interface Found {
  /** Of the URL, whether they answer the request or not. */
  readonly all: ReadonlyArray<StoredResponse>
  readonly decision: Decision | undefined
  /** Under which all is: another one than that of the request, if the response does not depend on the whole query. */
  readonly key: string
  readonly selected: StoredResponse | undefined
}

/**
 * How a request came to be asked of the origin.
 *
 * @internal
 */
export interface Why {
  readonly collapsed: boolean | undefined
  readonly detail: string | undefined
  readonly forwarded: HttpCache.ForwardReason
}

/**
 * A response that has come from the origin, and how it came to be asked for.
 *
 * @internal
 */
export interface Arrival {
  readonly asked: Asked
  /** Whether there is no transaction, which would be over before the body is there. */
  readonly canStore: boolean
  readonly fetch: Fetch
  readonly found: Found
  readonly requestTime: number
  readonly response: Live
  readonly responseTime: number
  readonly why: Why
}

/** @internal */
export interface Parts {
  readonly count: Counts
  readonly events: PubSub.PubSub<HttpCache.CacheEvent>
  readonly fetches: Fetches
  readonly maxEntryBytes: number
  readonly miss: (
    fields: { readonly method: string; readonly reason: string; readonly url: string }
  ) => HttpCache.CacheMiss
  readonly options: HttpCache.Options
  /** The storage is in order: what fails next is told again. */
  readonly over: () => void
  /** How each download that goes on is made to store nothing more. */
  readonly running: Set<Effect.Effect<unknown>>
  readonly scope: Scope.Scope
  readonly settings: Settings
  readonly store: HttpCacheStore["Type"]
  readonly tell: (event: HttpCache.CacheEvent) => void
  /** What is done instead, when the storage fails. */
  readonly tolerate: <A, E, R>(error: Trouble, otherwise: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly tolerated: <A, R>(self: Effect.Effect<A, Trouble, R>, otherwise: A) => Effect.Effect<A, never, R>
}

/**
 * What a store tells of.
 *
 * @internal
 */
export type OnStore = Required<Pick<StoreOptions, "onDamaged" | "onEvicted">>

/** @internal */
export const makeParts = <R>(
  options: HttpCache.Options,
  settings: Settings,
  miss: Parts["miss"],
  makeStore: (on: OnStore) => Effect.Effect<HttpCacheStore["Type"], StorageError, R>
): Effect.Effect<Parts, StorageError, R | Scope.Scope> =>
  Effect.gen(function*() {
    const count = countsOf(options.name ?? "default")
    const events = yield* PubSub.sliding<HttpCache.CacheEvent>(1024)
    const tell = (event: HttpCache.CacheEvent): void => void events.unsafeOffer(event)
    const { over, tolerate } = makeTroubles<Trouble>(
      "an HTTP cache cannot use its storage, and requests go on without it",
      (error) => {
        count.errors(1)
        tell({ _tag: "StorageFailed", error })
      }
    )
    return {
      count,
      events,
      fetches: new Fetches(),
      maxEntryBytes: Math.min(options.maxEntryBytes ?? mostEntryBytes, options.maxBytes ?? Infinity),
      miss,
      options,
      over,
      running: new Set(),
      scope: yield* Effect.scope,
      settings,
      store: yield* makeStore({
        onDamaged: (key) =>
          Effect.sync(() => {
            count.damaged(1)
            tell({ _tag: "Damaged", key })
          }),
        onEvicted: (keys) =>
          Effect.sync(() => {
            count.evictions(keys)
            tell({ _tag: "Evicted", keys })
          })
      }),
      tell,
      tolerate,
      tolerated: (self, otherwise) => Effect.catchAll(self, (error) => tolerate(error, Effect.succeed(otherwise)))
    }
  })
