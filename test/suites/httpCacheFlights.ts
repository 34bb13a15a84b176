/** Requests at the same time, in transactions, and while caches close or storage fails, on any engine. */
import { HttpClientError } from "@effect/platform"
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Deferred, Effect, Either, Exit, Fiber, Scope, Stream } from "effect"
import { HttpCache, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { type Answer, base, bodyRows, cached, fresh, requestOf, testOn, wait } from "../httpCached.js"

/** An origin whose answers wait until they are let go. */
const held = (answer: (call: number) => Answer) =>
  Effect.map(Deferred.make<void>(), (gate) => ({
    answering: (_: unknown, call: number) => Effect.as(Deferred.await(gate), answer(call)),
    go: Deferred.succeed(gate, undefined)
  }))

const piece = new Uint8Array(64 * 1024).fill(120)

export const suite = (engine: Engine) =>
  describeOn(engine, "HttpCache", () => {
    const test = testOn(engine)
    const forked = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.tap(Effect.fork(self), engine.turns)

    describe("single-flight", () => {
      test(
        "500 requests for something cold are one to the origin",
        Effect.gen(function*() {
          const { answering, go } = yield* held(() => fresh(100))
          const { calls, get } = yield* cached(answering)
          const all = yield* forked(Effect.replicateEffect(get("/a"), 500, { concurrency: "unbounded" }))
          assert.strictEqual(calls(), 1)
          yield* go
          const answers = yield* Fiber.join(all)
          assert.isTrue(answers.every(({ text }) => text === "body"))
          assert.strictEqual(calls(), 1)
          assert.strictEqual(answers.filter(({ info }) => info.collapsed).length, 499)
        })
      )

      test(
        "also for something that is stale",
        Effect.gen(function*() {
          let gate: Effect.Effect<unknown> = Effect.void
          const { calls, get } = yield* cached((_, call) =>
            Effect.as(
              gate,
              call === 1 ? fresh(10, "body", { etag: "\"1\"" }) : { headers: { etag: "\"1\"" }, status: 304 }
            )
          )
          yield* get("/a")
          yield* wait("15 seconds")
          const go = yield* Deferred.make<void>()
          gate = Deferred.await(go)
          const all = yield* forked(Effect.replicateEffect(get("/a"), 20, { concurrency: "unbounded" }))
          yield* Deferred.succeed(go, undefined)
          assert.isTrue((yield* Fiber.join(all)).every(({ text }) => text === "body"))
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "who waited for what is not to be shared asks for itself",
        Effect.gen(function*() {
          const { answering, go } = yield* held((call) => ({
            body: String(call),
            headers: { "cache-control": "no-store" }
          }))
          const { calls, get } = yield* cached(answering)
          const all = yield* forked(Effect.replicateEffect(get("/a"), 20, { concurrency: "unbounded" }))
          yield* go
          const texts = (yield* Fiber.join(all)).map(({ text }) => text)
          assert.strictEqual(new Set(texts).size, 20)
          assert.strictEqual(calls(), 20)
        })
      )

      test(
        "who waited for a failure asks for itself",
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          const { calls, get } = yield* cached((_, call) =>
            Effect.zipRight(
              Deferred.await(gate),
              call === 1 ? Effect.fail("refused" as const) : Effect.succeed(fresh(100))
            )
          )
          const all = yield* forked(
            Effect.replicateEffect(Effect.either(get("/a")), 10, { concurrency: "unbounded" })
          )
          yield* Deferred.succeed(gate, undefined)
          const answers = yield* Fiber.join(all)
          assert.strictEqual(answers.filter(Either.isLeft).length, 1)
          assert.isAtLeast(calls(), 2)
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
        })
      )

      test(
        "each variant, each credential and each URL for itself",
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          const { calls, get } = yield* cached(({ headers, url }) =>
            Effect.as(
              Deferred.await(gate),
              fresh(100, `${url} ${headers["accept"]} ${headers["authorization"]}`, { vary: "accept" })
            )
          )
          const requests = [
            ["/a", {}],
            ["/b", {}],
            ["/a", { authorization: "Bearer a" }],
            ["/a", { authorization: "Bearer b" }],
            ["/a", { accept: "x" }],
            ["/a", { accept: "y" }]
          ] as const
          const all = yield* forked(
            Effect.forEach([...requests, ...requests], ([path, headers]) =>
              Effect.map(get(path, headers), ({ text }) => [path, headers, text] as const), {
              concurrency: "unbounded"
            })
          )
          yield* Deferred.succeed(gate, undefined)
          for (const [path, headers, text] of yield* Fiber.join(all)) {
            const { accept, authorization }: { readonly accept?: string; readonly authorization?: string } = headers
            assert.strictEqual(text, `${base}${path} ${accept} ${authorization}`)
          }
          assert.isAtMost(calls(), 7)
        })
      )

      test(
        "not for requests that the answer to another one does not answer",
        Effect.gen(function*() {
          const { answering, go } = yield* held((call) =>
            fresh(100, String(call))
          )
          const { ask, calls, get } = yield* cached(answering)
          const first = yield* forked(get("/a"))
          const others = yield* forked(Effect.all([
            get("/a", { "cache-control": "no-cache" }),
            get("/a", { "cache-control": "no-store" }),
            HttpCache.withOptions(get("/a"), { mode: "reload" }),
            ask("/a", { method: "PUT" })
          ], { concurrency: "unbounded" }))
          assert.strictEqual(calls(), 5)
          yield* go
          yield* Fiber.join(first)
          yield* Fiber.join(others)
        })
      )

      test(
        "off by option",
        Effect.gen(function*() {
          const { answering, go } = yield* held(() => fresh(100))
          const { calls, get } = yield* cached(answering, { singleFlight: false })
          const all = yield* forked(Effect.replicateEffect(get("/a"), 5, { concurrency: "unbounded" }))
          yield* go
          yield* Fiber.join(all)
          assert.strictEqual(calls(), 5)
        })
      )

      test(
        "the first one is interrupted before there is an answer: another one asks",
        Effect.gen(function*() {
          const { answering, go } = yield* held((call) => fresh(100, String(call)))
          const { calls, get } = yield* cached(answering)
          const first = yield* forked(get("/a"))
          const others = yield* forked(Effect.replicateEffect(get("/a"), 5, { concurrency: "unbounded" }))
          assert.strictEqual(calls(), 1)
          yield* Fiber.interrupt(first)
          yield* engine.turns
          assert.strictEqual(calls(), 2)
          yield* go
          assert.isTrue((yield* Fiber.join(others)).every(({ text }) => text === "2"))
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "the first one is interrupted while it reads: another one asks",
        Effect.gen(function*() {
          const reached = yield* Deferred.make<void>()
          const { cache, client, get } = yield* cached((_, call) =>
            call === 1
              ? {
                body: Stream.concat(
                  Stream.make(piece),
                  Stream.fromEffect(Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never))
                ),
                headers: { "cache-control": "max-age=100" }
              }
              : fresh(100, "second")
          )
          const first = yield* Effect.fork(
            Effect.flatMap(client.execute(requestOf("/a")), ({ stream }) => Stream.runDrain(stream))
          )
          yield* Deferred.await(reached)
          const other = yield* forked(get("/a"))
          yield* Fiber.interrupt(first)
          assert.strictEqual((yield* Fiber.join(other)).text, "second")
          assert.strictEqual(yield* cache.size, 1)
          assert.strictEqual((yield* bodyRows()).length, 1)
        })
      )

      test(
        "the first one never reads a large body: others are not kept waiting for ever",
        Effect.gen(function*() {
          const { calls, client, get } = yield* cached((_, call) => ({
            body: Stream.concat(Stream.make(new Uint8Array([48 + call])), Stream.take(Stream.repeatValue(piece), 100)),
            headers: { "cache-control": "max-age=100" }
          }))
          const unread = yield* client.execute(requestOf("/a"))
          yield* engine.turns
          const other = yield* forked(get("/a"))
          const answered = yield* Fiber.join(other)
          assert.strictEqual(answered.text.length, 1 + 100 * piece.byteLength)
          assert.strictEqual(calls(), 2)
          assert.strictEqual(unread.status, 200)
        })
      )
    })

    describe("what is invalidated while it is fetched is not stored", () => {
      const invalidations: ReadonlyArray<
        [string, (cache: HttpCache.HttpCache["Type"]) => Effect.Effect<unknown, unknown>]
      > = [
        ["delete", (cache) => cache.delete(`${base}/a`)],
        ["deletePrefix", (cache) => Effect.suspend(() => cache.deletePrefix(base))],
        ["deleteHost", (cache) => Effect.suspend(() => cache.deleteHost("api.example.com"))],
        ["clear", (cache) => cache.clear]
      ]

      for (const [name, invalidate] of invalidations) {
        test(
          name,
          Effect.gen(function*() {
            const { answering, go } = yield* held((call) => fresh(100, String(call)))
            const { cache, get } = yield* cached(answering)
            const getting = yield* forked(get("/a"))
            yield* Effect.orDie(invalidate(cache))
            yield* go
            assert.strictEqual((yield* Fiber.join(getting)).text, "1")
            assert.strictEqual(yield* cache.size, 0)
            deepStrictEqual(yield* bodyRows(), [])
            assert.strictEqual((yield* get("/a")).text, "2")
            assert.strictEqual((yield* get("/a")).text, "2")
          })
        )
      }

      test(
        "an unsafe request",
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          const { ask, cache, get } = yield* cached(({ method }, call) =>
            method === "GET" ? Effect.as(Deferred.await(gate), fresh(100, String(call))) : {}
          )
          const getting = yield* forked(get("/a"))
          yield* ask("/a", { method: "PUT" })
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(getting)
          assert.isFalse(yield* cache.has(`${base}/a`))
        })
      )

      test(
        "while its body comes, also by a tag",
        Effect.gen(function*() {
          const ways: ReadonlyArray<(cache: HttpCache.HttpCache["Type"]) => Effect.Effect<unknown, unknown>> = [
            (cache) => cache.delete(`${base}/a`),
            (cache) => cache.deleteTag("t")
          ]
          for (const invalidate of ways) {
            const [reached, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
            const { cache, get } = yield* cached(() => ({
              body: Stream.concat(
                Stream.take(Stream.repeatValue(piece), 6),
                Stream.fromEffect(
                  Effect.as(Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(go)), piece)
                )
              ),
              headers: { "cache-control": "max-age=100" }
            }))
            const getting = yield* Effect.fork(HttpCache.withOptions(get("/a"), { tags: ["t"] }))
            yield* Deferred.await(reached)
            yield* Effect.orDie(invalidate(cache))
            yield* Deferred.succeed(go, undefined)
            assert.strictEqual((yield* Fiber.join(getting)).text.length, 7 * piece.byteLength)
            assert.strictEqual(yield* cache.size, 0)
            deepStrictEqual(yield* bodyRows(), [])
          }
        })
      )
    })

    describe("bodies", () => {
      test(
        "one that fails is the caller's failure, and nothing is stored",
        Effect.gen(function*() {
          const { cache, calls, get } = yield* cached(() => ({
            body: Stream.concat(Stream.take(Stream.repeatValue(piece), 10), Stream.fail(new Error("broken"))),
            headers: { "cache-control": "max-age=100" }
          }))
          for (let i = 0; i < 2; i++) {
            const result = yield* Effect.either(get("/a"))
            assert.isTrue(Either.isLeft(result) && result.left instanceof HttpClientError.ResponseError)
          }
          assert.strictEqual(calls(), 2)
          assert.strictEqual(yield* cache.size, 0)
          deepStrictEqual(yield* bodyRows(), [])
        })
      )

      test(
        "of another length than they say are not stored",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(({ url }) =>
            fresh(100, "body", { "content-length": url.endsWith("more") ? "3" : "5" })
          )
          for (const path of ["/more", "/less"]) assert.strictEqual((yield* get(path)).text, "body")
          assert.strictEqual(yield* cache.size, 0)
        })
      )

      test(
        "the caller has the first piece before the last is there",
        Effect.gen(function*() {
          const go = yield* Deferred.make<void>()
          const { client, get } = yield* cached(() => ({
            body: Stream.concat(Stream.make(piece), Stream.fromEffect(Effect.as(Deferred.await(go), piece))),
            headers: { "cache-control": "max-age=100" }
          }))
          const { stream } = yield* client.execute(requestOf("/a"))
          let bytes = 0
          yield* Stream.runForEach(stream, ({ byteLength }) => {
            bytes += byteLength
            return bytes === piece.byteLength ? Deferred.succeed(go, undefined) : Effect.void
          })
          assert.strictEqual(bytes, 2 * piece.byteLength)
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
        })
      )

      test(
        "one that is not read to its end is not stored",
        Effect.gen(function*() {
          const { cache, client } = yield* cached(() => ({
            body: Stream.repeatValue(piece),
            headers: { "cache-control": "max-age=100" }
          }))
          const { stream } = yield* client.execute(requestOf("/a"))
          assert.strictEqual(Chunk.size(yield* Stream.runCollect(Stream.take(stream, 20))), 20)
          yield* engine.turns
          assert.strictEqual(yield* cache.size, 0)
          deepStrictEqual(yield* bodyRows(), [])
        })
      )
    })

    describe("in a transaction", () => {
      test(
        "reads work, nothing is stored, and nobody waits for ever",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { cache, calls, get } = yield* cached((_, call) => fresh(100, String(call)))
          yield* get("/stored")
          yield* cache.size
          const [hit, miss, large] = yield* storage.transaction(
            Effect.all([get("/stored"), get("/new"), Effect.map(get("/new"), ({ text }) => text)])
          )
          deepStrictEqual([hit.info.outcome, hit.text, miss.info.outcome, miss.text, large], [
            "hit",
            "1",
            "miss",
            "2",
            "3"
          ])
          assert.isFalse(miss.info.stored)
          assert.isFalse(yield* cache.has(`${base}/new`))
          assert.strictEqual(calls(), 3)
        })
      )

      test(
        "what is deleted by hand comes back when it is rolled back, and not what a request that was sent made invalid",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { ask, cache, get } = yield* cached(() => fresh(100))
          yield* get("/a")
          yield* cache.size
          yield* Effect.exit(storage.transaction(Effect.zipRight(cache.delete(`${base}/a`), Effect.fail("no"))))
          assert.isTrue(yield* cache.has(`${base}/a`))
          yield* storage.transaction(ask("/a", { method: "PUT" }))
          assert.isFalse(yield* cache.has(`${base}/a`))
          yield* get("/a")
          yield* cache.size
          yield* Effect.exit(storage.transaction(Effect.zipRight(ask("/a", { method: "PUT" }), Effect.fail("no"))))
          assert.isFalse(yield* cache.has(`${base}/a`))
        })
      )

      test(
        "who asks in a transaction does not wait for who asks outside",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          let gate: Effect.Effect<unknown> = Effect.never
          const { calls, get } = yield* cached((_, call) =>
            Effect.as(call === 1 ? gate : Effect.void, fresh(100, String(call)))
          )
          const outside = yield* forked(get("/a"))
          gate = Effect.void
          assert.strictEqual((yield* storage.transaction(get("/a"))).text, "2")
          assert.strictEqual(calls(), 2)
          yield* Fiber.interrupt(outside)
        })
      )
    })

    describe("closing", () => {
      test(
        "while a body is being fetched: nothing of it is left",
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const reached = yield* Deferred.make<void>()
          const { client } = yield* Scope.extend(
            cached(() => ({
              body: Stream.concat(
                Stream.take(Stream.repeatValue(piece), 10),
                Stream.fromEffect(Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never))
              ),
              headers: { "cache-control": "max-age=100" }
            })),
            scope
          )
          const reading = yield* Effect.fork(
            Effect.flatMap(client.execute(requestOf("/a")), ({ stream }) => Stream.runDrain(stream))
          )
          yield* Deferred.await(reached)
          yield* Scope.close(scope, Exit.void)
          yield* Fiber.interrupt(reading)
          const { cache } = yield* cached(() => ({}))
          assert.strictEqual(yield* cache.size, 0)
          deepStrictEqual(yield* bodyRows(), [])
        })
      )

      test(
        "what is all there is stored",
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const { get } = yield* Scope.extend(cached(() => fresh(100, "x".repeat(600_000))), scope)
          yield* get("/a")
          yield* Scope.close(scope, Exit.void)
          const later = yield* cached(() => fresh(100))
          const { info, text } = yield* later.get("/a")
          deepStrictEqual([info.outcome, text.length], ["hit", 600_000])
        })
      )

      test(
        "while something is validated in the background",
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          let interrupted = 0
          const { get } = yield* Scope.extend(
            cached((_, call) =>
              call === 1
                ? { body: "body", headers: { "cache-control": "max-age=10, stale-while-revalidate=100" } }
                : Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
            ),
            scope
          )
          yield* get("/a")
          yield* wait("15 seconds")
          assert.strictEqual((yield* get("/a")).info.outcome, "stale")
          yield* engine.turns
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual(interrupted, 1)
        })
      )
    })
  })
