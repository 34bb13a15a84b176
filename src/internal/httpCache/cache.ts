/**
 * An HTTP cache: its client, and what is done by hand.
 *
 * @internal
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as HttpCache from "../../HttpCache.js"
import type { HttpCacheStore, StoredResponse } from "../../HttpCacheStore.js"
import type { StorageError } from "../../StorageError.js"
import { failing, Fault } from "../storage/fault.js"
import { makeFlow } from "./flow.js"
import { ageOf, lifetimeOf } from "./freshness.js"
import { normalPrefix, prefixOf } from "./key.js"
import { type Failure, makeParts, type OnStore, type Parts, type Trouble } from "./parts.js"
import { parseSettings } from "./settings.js"

const redactedHeaders = new Set(["authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key"])

const requestOf = (input: HttpCache.RequestInput): HttpClientRequest.HttpClientRequest =>
  typeof input === "string" || input instanceof URL ? HttpClientRequest.get(input) : input

/** @internal */
export const make = <R>(
  options: HttpCache.Options,
  miss: Parts["miss"],
  makeStore: (on: OnStore) => Effect.Effect<HttpCacheStore["Type"], StorageError, R>
): Effect.Effect<HttpCache.HttpCache["Type"], StorageError, R | Scope.Scope> =>
  Effect.gen(function*() {
    const parsed = parseSettings(options)
    if (Either.isLeft(parsed)) {
      return yield* Effect.fail(failing("HttpCache.layer")(new Fault("InvalidValue", parsed.left)))
    }
    const settings = parsed.right
    const parts = yield* makeParts(options, settings, miss, makeStore)
    const flow = makeFlow(parts)
    const { events, fetches, running, store } = parts
    // What is all there is stored; of what is not, nothing.
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        fetches.settled,
        Effect.suspend(() => Effect.all([...running], { discard: true }))
      )
    )
    yield* Effect.addFinalizer(() => PubSub.shutdown(events))

    const invalid = (detail: string) => failing("HttpCache")(new Fault("InvalidValue", detail))
    const asked = (input: HttpCache.RequestInput, own: HttpCache.RequestOptions = {}) =>
      Effect.mapError(
        flow.asking(requestOf(input), own),
        (issue) => invalid(issue ?? `${requestOf(input).url} is no URL`)
      )
    const urlOf = (input: string | URL): Effect.Effect<URL, StorageError> =>
      input instanceof URL || URL.canParse(input)
        ? Effect.succeed(new URL(input))
        : Effect.fail(invalid(`${input} is no URL`))

    const found = (input: HttpCache.RequestInput) =>
      Effect.flatMap(asked(input), (request) =>
        Effect.map(flow.look({ ...request, mode: "force-cache" }, new Set()), (known) => ({ known, request })))

    const infoOf = (key: string, response: StoredResponse): HttpCache.StoredInfo => {
      const { policy } = settings.general
      return {
        bytes: response.bytes,
        expiresAt: response.expiresAt,
        freshUntil: response.responseTime + lifetimeOf(response, policy).millis -
          ageOf(response, response.responseTime),
        headers: Object.fromEntries(
          Object.entries(response.headers).map((
            [name, value]
          ) => [name, redactedHeaders.has(name) ? "<redacted>" : value])
        ),
        key,
        method: response.method,
        status: response.status,
        storedAt: response.responseTime,
        tags: response.tags,
        url: response.url
      }
    }

    /** Deletes what begins so. Keys of long URLs end with a hash, so there it takes a look at each. */
    const deleteBeginning = (begin: string): Effect.Effect<number, Trouble> =>
      Effect.suspend(() => {
        fetches.cancel(({ url }) =>
          url.startsWith(begin)
        )
        const { isAll, prefix } = prefixOf(begin)
        return isAll ? store.deletePrefix(prefix) : Stream.runFoldEffect(
          store.values({ prefix }),
          0,
          (removed, { key, response }) =>
            response.url.startsWith(begin)
              ? Effect.map(store.delete(key), (is) => removed + (is ? 1 : 0))
              : Effect.succeed(removed)
        )
      })
    const deletePrefix = (prefix: string): Effect.Effect<number, Trouble> => {
      const begin = normalPrefix(prefix)
      return begin === undefined
        ? Effect.fail(
          invalid(`${prefix} is not how a URL begins: give its scheme at least, as in https://; clear deletes all`)
        )
        : deleteBeginning(begin)
    }
    const deleteHost = (host: string): Effect.Effect<number, Trouble> =>
      /^(?:\[[\da-f:.]+\]|[^/?#@:\s[\]]+)(?::\d+)?$/i.test(host)
        ? Effect.flatMap(
          Effect.forEach(["http", "https"], (scheme) => urlOf(`${scheme}://${host}`)),
          Effect.reduce(0, (sum, { host, protocol }) =>
            Effect.map(deleteBeginning(`${protocol}//${host}/`), (removed) =>
              sum + removed))
        )
        : Effect.fail(invalid(`${host} is no host: give a name or an address, and the port if it has one`))

    const settled = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.zipRight(fetches.settled, self)

    return {
      bytes: settled(store.bytes),
      clear: Effect.suspend(() => {
        fetches.cancel(() =>
          true
        )
        return settled(store.clear)
      }),
      delete: (url) =>
        settled(Effect.flatMap(Effect.flatMap(urlOf(url), flow.invalidate), (removed) => Effect.succeed(removed > 0))),
      deleteHost: (host) => settled(deleteHost(host)),
      deletePrefix: (prefix) => settled(deletePrefix(prefix)),
      deleteTag: (tag) => settled(Effect.suspend(() => flow.deleteTag(tag))),
      entries: Stream.unwrap(settled(Effect.succeed(
        Stream.map(store.values(), ({ key, response }) => infoOf(key, response))
      ))),
      events: Stream.fromPubSub(events),
      get: (input) =>
        Effect.flatMap(found(input), ({ known: { decision, key, selected }, request }) =>
          selected === undefined || decision === undefined
            ? Effect.succeedNone
            : Effect.map(
              flow.serve(request, key, selected, decision, decision._tag === "Fresh" ? "hit" : "stale", {
                collapsed: undefined,
                detail: undefined,
                forwarded: undefined
              }),
              Option.fromNullable
            )),
      has: (input) =>
        Effect.map(found(input), ({ known }) =>
          known.selected !== undefined),
      put: (input, response, own) => Effect.flatMap(asked(input, own), (request) => flow.put(request, response)),
      removeExpired: settled(store.removeExpired),
      size: settled(store.size),
      transform: <E, R>(client: HttpClient.HttpClient.With<E, R>) =>
        HttpClient.makeWith<never, never, E | Failure, R>(
          (effect) => Effect.flatMap(effect, (request) => flow.handle(request, client.execute)),
          Effect.succeed
        )
    }
  })
