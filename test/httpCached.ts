/** What the suites of HttpCache share. */
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { it } from "@effect/vitest"
import type { Duration, Scope } from "effect"
import { Chunk, Clock, Effect, Fiber, Option, Stream, TestClock } from "effect"
import { HttpCache, Storage } from "effect-kv"
import { createHash } from "node:crypto"
import type { Engine } from "./engines.js"

/** When each test begins. */
export const start = Date.UTC(2026, 0, 1)

/** A time as HTTP writes it, in seconds from the beginning of the test. */
export const httpDate = (seconds: number) => new Date(start + seconds * 1000).toUTCString()

/** A test with a Storage and a scope of its own, which closes before the Storage does. */
export const testOn = (engine: Engine) =>
<A, E>(
  title: string,
  body: Effect.Effect<A, E, Storage.Storage | Scope.Scope>,
  timeout?: number
) =>
  it.effect(
    title,
    () => Effect.zipRight(TestClock.setTime(start), Effect.provide(Effect.scoped(body), engine.layer)),
    timeout
  )

export const wait = (duration: Duration.DurationInput) => TestClock.adjust(duration)

/** What the origin says. */
export interface Answer {
  readonly status?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly cookies?: ReadonlyArray<string> | undefined
  readonly body?: string | Uint8Array | Stream.Stream<Uint8Array, Error> | undefined
}

/** A request as the origin sees it. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export type Answering = (
  request: Seen,
  call: number
) => Answer | Effect.Effect<Answer, HttpClientError.HttpClientError | "refused">

const bodyless = new Set([204, 205, 304])

/** An origin that exists in this process only, and what it was asked. */
export const origin = (answer: Answering) => {
  const seen: Array<Seen> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const headers = { ...request.headers }
      delete headers["traceparent"]
      delete headers["b3"]
      const asked = {
        body: request.body._tag === "Uint8Array" ? Buffer.from(request.body.body).toString() : "",
        headers,
        method: request.method,
        url: url.href
      }
      const made = answer(asked, seen.push(asked))
      const said = Effect.isEffect(made)
        ? yield* Effect.mapError(
          made,
          (error) =>
            error === "refused"
              ? new HttpClientError.RequestError({ cause: new Error(error), reason: "Transport", request })
              : error
        )
        : made
      const { body = "", cookies = [], status = 200 } = said
      const fields = new Headers(said.headers)
      for (const cookie of cookies) fields.append("set-cookie", cookie)
      return HttpClientResponse.fromWeb(
        request,
        new Response(
          bodyless.has(status) || request.method === "HEAD"
            ? null
            : typeof body === "string"
            ? body
            : body instanceof Uint8Array
            ? new Uint8Array(body)
            : Stream.toReadableStream(body),
          { headers: fields, status }
        )
      )
    })
  )
  return { client, seen }
}

/** A response that was read to its end. */
export interface Read {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly cookies: ReadonlyArray<string>
  readonly text: string
  readonly info: HttpCache.CacheInfo
}

export const base = "https://api.example.com"

export interface Asking {
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: string | undefined
}

/** A path of the origin, or the URL of another one. */
export const requestOf = (path: string, { body, headers = {}, method = "GET" }: Asking = {}) => {
  const url = path.startsWith("/") ? base + path : path
  // QUERY is not among those that the type knows.
  const made = HttpClientRequest.make(method as "GET")(url).pipe(HttpClientRequest.setHeaders(headers))
  return body === undefined ? made : HttpClientRequest.bodyText(made, body)
}

/** Reads all of a response. */
export const readAll = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(
    Stream.runCollect(response.stream).pipe(
      Effect.catchIf((error) => error._tag === "ResponseError" && error.reason === "EmptyBody", () =>
        Effect.succeed(Chunk.empty<Uint8Array>()))
    ),
    (pieces): Read => ({
      cookies: Object.values(response.cookies.cookies).map(({ name, value }) =>
        `${name}=${value}`
      ),
      headers: { ...response.headers },
      info: Option.getOrThrowWith(HttpCache.info(response), () => new Error("no cache had to do with it")),
      status: response.status,
      text: Buffer.concat(Chunk.toArray(pieces)).toString()
    })
  )

/** A cache before an origin. */
export const cached = (answer: Answering, options: HttpCache.Options = {}) =>
  Effect.gen(function*() {
    const { client: plain, seen } = origin(answer)
    const cache = yield* HttpCache.make(options)
    const client = cache.transform(plain)
    return {
      /** What has come back, read to its end. */
      ask: (path: string, asking?: Asking) => Effect.flatMap(client.execute(requestOf(path, asking)), readAll),
      cache,
      calls: () => seen.length,
      client,
      get: (path: string, headers?: Readonly<Record<string, string>>) =>
        Effect.flatMap(client.execute(requestOf(path, { headers })), readAll),
      seen
    }
  })

/** An answer that is fresh for so many seconds. */
export const fresh = (seconds: number, body = "body", headers: Readonly<Record<string, string>> = {}): Answer => ({
  body,
  headers: { "cache-control": `max-age=${seconds}`, ...headers }
})

/** All that is in a storage, as text: for what must not be there. */
export const everything = Effect.gen(function*() {
  const storage = yield* Storage.Storage
  const found: Array<string> = []
  for (const { keys, name } of yield* storage.maintenance.keyspaces) {
    if (keys !== "text") continue
    const keyspace = yield* storage.keyspace(name)
    yield* Stream.runForEach(
      keyspace.entries(),
      ({ key, value }) => Effect.sync(() => found.push(`${name}\t${key}\t${Buffer.from(value).toString()}`))
    )
  }
  return found
})

/**
 * The rows with the bodies of a cache: their keys, and hashes of what they hold. Left out are those that nothing refers
 * to and that go within minutes, when nobody can be reading them any more.
 */
export const bodyRows = (name = "default") =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const bodies = yield* storage.keyspace(`http:bodies ${name}`)
    const known = yield* Stream.runCollect((yield* storage.keyspace(`http ${name}`)).entries())
    const texts = Chunk.toArray(known).map(({ value }) => String(value))
    const soon = yield* Effect.map(Clock.currentTimeMillis, (now) => String(now + 120_000).padStart(15, "0"))
    const due = yield* Stream.runCollect(bodies.keys({ prefix: "d", through: `d${soon} \u{10ffff}` }))
    const going = new Set(Chunk.toArray(due).map((key) => key.slice(key.lastIndexOf(" ") + 1)))
    const rows = yield* Stream.runCollect(bodies.entries({ prefix: "b" }))
    return Chunk.toArray(rows).flatMap(({ key, value }) => {
      const [id = ""] = key.split(" ").slice(-2)
      const isKnown = texts.some((text) => text.includes(JSON.stringify(id)))
      return going.has(id) && !isKnown ? [] : [{ hash: createHash("sha256").update(value).digest("hex"), key }]
    })
  })

/** All that happens to a cache while an effect runs, in order. */
export const eventsOf = <A, E, R>(cache: HttpCache.HttpCache["Type"], engine: Engine, self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const events: Array<HttpCache.CacheEvent> = []
    const listening = yield* Effect.fork(
      Stream.runForEach(cache.events, (event) => Effect.sync(() => events.push(event)))
    )
    yield* engine.turns
    yield* self
    yield* engine.turns
    yield* Fiber.interrupt(listening)
    return events
  })
