import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { kinds, memory } from "./engines.js"
import { failingWith } from "./failing.js"
import { type Asking, cached, eventsOf, fresh, requestOf } from "./httpCached.js"
import { suite } from "./suites/httpCacheFlights.js"

for (const engine of kinds) suite(engine)

describe("HttpCache without its storage", () => {
  for (const reason of ["Busy", "Full", "Unavailable", "Corrupt"] as const) {
    it.scoped(`${reason}: requests go through, and it is told`, () =>
      Effect.gen(function*() {
        const { cache, client, seen } = yield* cached(
          ({ method }, call) => fresh(100, `${method} ${call}`, { etag: "\"1\"" })
        )
        const statusAndText = (path: string, asking?: Asking) =>
          Effect.flatMap(client.execute(requestOf(path, asking)), ({ status, text }) =>
            Effect.map(text, (body) => `${status} ${body}`))
        const events = yield* eventsOf(
          cache,
          memory,
          Effect.gen(function*() {
            assert.strictEqual(yield* statusAndText("/a"), "200 GET 1")
            assert.strictEqual(yield* statusAndText("/a", { body: "x", method: "POST" }), "200 POST 2")
            const all = yield* Effect.replicateEffect(statusAndText("/a"), 5, { concurrency: "unbounded" })
            assert.isTrue(all.every((said) =>
              said.startsWith("200 GET")
            ))
            assert.strictEqual(yield* statusAndText("/a", { headers: { "cache-control": "only-if-cached" } }), "504 ")
          })
        )
        assert.isAbove(events.filter(({ _tag }) => _tag === "StorageFailed").length, 0)
        assert.isTrue(seen.every(({ headers }) => headers["if-none-match"] === undefined))
        assert.strictEqual((yield* Effect.flip(cache.size))._tag, "StorageError")
      }).pipe(Effect.provide(failingWith(reason))))
  }
})
