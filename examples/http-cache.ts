/**
 * An HTTP cache before `fetch`, against a server on a real socket: hits, 304s, and a stale answer when the server is
 * gone. The clock is a test's, so nothing waits.
 *
 *     npx tsx examples/http-cache.ts
 */
import { FetchHttpClient, HttpClient } from "@effect/platform"
import { Console, Effect, Layer, Option, TestClock, TestContext } from "effect"
import { HttpCache, Sqlite, Storage } from "effect-kv"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

/** Prices that are fresh for a minute, and have a tag by which the server knows them again. */
let requests = 0
const server = http.createServer((request, response) => {
  requests++
  const headers = { "cache-control": "max-age=60", etag: "\"v1\"" }
  if (request.headers["if-none-match"] === headers.etag) response.writeHead(304, headers).end()
  else response.writeHead(200, { ...headers, "content-type": "application/json" }).end(JSON.stringify({ pear: 3 }))
})

const listening = Effect.acquireRelease(
  Effect.async<string>((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      resume(Effect.succeed(`http://127.0.0.1:${port}/prices`))
    })
  }),
  () => Effect.sync(() => server.close())
)

const program = Effect.gen(function*() {
  const url = yield* listening
  const client = yield* HttpClient.HttpClient

  const show = (when: string) =>
    Effect.gen(function*() {
      const response = yield* client.get(url)
      const prices = yield* response.text
      const outcome = Option.map(HttpCache.info(response), (info) => info.outcome)
      yield* Console.log(`${when}: ${Option.getOrNull(outcome)}, ${prices}, ${requests} requests`)
    })

  yield* show("at first")
  yield* show("again")
  yield* TestClock.adjust("2 minutes")
  yield* show("after 2 minutes")
  yield* TestClock.adjust("30 seconds")
  yield* show("and then")

  yield* Effect.sync(() => {
    server.closeAllConnections()
    server.close()
  })
  yield* TestClock.adjust("1 hour")
  yield* show("the server is gone")
})

const Live = HttpCache.layer({ name: "prices" }).pipe(
  Layer.provide(Storage.layer()),
  Layer.provide(Sqlite.layer({ filename: ":memory:" })),
  Layer.provide(FetchHttpClient.layer)
)

program.pipe(
  Effect.scoped,
  Effect.provide(Live),
  Effect.provide(TestContext.TestContext),
  Effect.runPromise
)
