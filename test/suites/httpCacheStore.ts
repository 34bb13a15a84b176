/** Where HTTP caches keep responses, without HTTP, on any engine. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Chunk,
  Context,
  Deferred,
  Effect,
  Exit,
  FastCheck as fc,
  Fiber,
  Layer,
  Option,
  Stream,
  TestClock,
  TestContext
} from "effect"
import { HttpCacheStore, Storage, StorageError } from "effect-kv"
import { describeOn, type Engine, postgres } from "../engines.js"
import { bodyRows, everything, start, testOn } from "../httpCached.js"

type Store = HttpCacheStore.HttpCacheStore["Type"]

const chunk = 256 * 1024

/** Bytes that are not the same anywhere. */
const bytesOf = (length: number, seed = 1) => {
  const bytes = new Uint8Array(length)
  let state = seed * 2654435761 + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

const newResponse = (changes: Partial<HttpCacheStore.NewResponse> = {}): HttpCacheStore.NewResponse => ({
  cookies: [],
  expiresAt: start + 60_000,
  headers: { "content-type": "text/plain" },
  method: "GET",
  requestTime: start,
  responseTime: start,
  status: 200,
  tags: [],
  url: "https://example.com/",
  vary: {},
  ...changes
})

const text = (value: string) => new TextEncoder().encode(value)

/** A store, for as long as the scope lives. */
const open = (options: HttpCacheStore.Options = {}) =>
  Effect.map(
    Layer.build(Layer.fresh(HttpCacheStore.layer({ sweepInterval: false, ...options }))),
    (context) => Context.get(context, HttpCacheStore.HttpCacheStore)
  )

const collect = (body: HttpCacheStore.Body) =>
  Effect.map(Stream.runCollect(body.stream), (pieces) => new Uint8Array(Buffer.concat(Chunk.toArray(pieces))))

/** What a body has, in whole or in part; undefined if it is not there. */
const bodyOf = (
  store: Store,
  key: string,
  response: HttpCacheStore.StoredResponse | undefined,
  range?: { readonly first: number; readonly last: number }
) =>
  Effect.gen(function*() {
    if (response === undefined) return undefined
    const found = yield* store.body(key, response, range)
    if (Option.isNone(found)) return undefined
    const bytes = yield* collect(found.value)
    assert.strictEqual(found.value.bytes, bytes.byteLength)
    if (found.value.whole !== undefined) deepStrictEqual(new Uint8Array(found.value.whole), bytes)
    return bytes
  })

/** The only response under a key, with its body. */
const onlyBody = (store: Store, key: string) =>
  Effect.flatMap(store.read(key), (found) => {
    assert.isAtMost(found.length, 1)
    return bodyOf(store, key, found[0])
  })

const textOf = (bytes: Uint8Array | undefined) => bytes === undefined ? undefined : Buffer.from(bytes).toString()

const keyspaceOf = (name: string) => Effect.flatMap(Storage.Storage, (storage) => storage.keyspace(name))

/** All rows of all keyspaces of a store, by keyspace. */
const rowsLeft = Effect.map(everything, (rows) => rows.map((row) => row.split("\t", 2).join(" ")))

export const suite = (engine: Engine) =>
  describeOn(engine, "HttpCacheStore", () => {
    const test = testOn(engine)

    describe("writes and reads", () => {
      test(
        "gives back what was written",
        Effect.gen(function*() {
          const store = yield* open()
          const response = newResponse({
            cookies: ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"],
            headers: { "x-é": "quote \" and ü \u{1F600}", etag: "\"1\"" },
            range: { first: 3, last: 7, total: 100 },
            status: 206,
            tags: ["a", "b c", "\u{1F600}"],
            timeToLive: 1500.5,
            vary: { accept: "text/html", "accept-language": null }
          })
          const written = Option.getOrThrow(yield* store.write("a key", response, text("hello")))
          const [read, ...more] = yield* store.read("a key")
          deepStrictEqual(more, [])
          deepStrictEqual(read, written)
          deepStrictEqual({ ...response, bytes: 5, id: written.id }, { ...read })
          assert.strictEqual(textOf(yield* bodyOf(store, "a key", read)), "hello")
        })
      )

      test(
        "bodies of all lengths about the length of a chunk",
        Effect.gen(function*() {
          const store = yield* open()
          for (const length of [0, 1, 1000, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 3 * chunk + 17]) {
            const bytes = bytesOf(length, length)
            for (
              const [how, body] of [
                ["whole", bytes],
                ["stream", Stream.make(bytes)],
                [
                  "pieces",
                  Stream.fromIterable(
                    Array.from(
                      { length: Math.ceil(length / 70_001) },
                      (_, i) => bytes.subarray(i * 70_001, (i + 1) * 70_001)
                    )
                  )
                ]
              ] as const
            ) {
              const key = `${how} ${length}`
              const written = Option.getOrThrow(yield* store.write(key, newResponse(), body))
              assert.strictEqual(written.bytes, length, key)
              const read = yield* onlyBody(store, key)
              assert.strictEqual(Buffer.compare(read!, bytes), 0, key)
            }
          }
        })
      )

      test(
        "many small pieces, also empty ones",
        Effect.gen(function*() {
          const store = yield* open()
          const pieces = Array.from({ length: 5000 }, (_, i) => bytesOf(i % 120, i))
          const whole = Buffer.concat(pieces)
          assert.isAbove(whole.byteLength, chunk)
          yield* store.write("a", newResponse(), Stream.fromIterable(pieces))
          assert.strictEqual(Buffer.compare((yield* onlyBody(store, "a"))!, whole), 0)
        })
      )

      test(
        "parts of a body, across the borders of chunks",
        Effect.gen(function*() {
          const store = yield* open()
          const bytes = bytesOf(3 * chunk + 100)
          const small = bytesOf(1000)
          yield* store.write("large", newResponse(), bytes)
          yield* store.write("small", newResponse(), small)
          const [large, little] = [(yield* store.read("large"))[0], (yield* store.read("small"))[0]]
          for (
            const [first, last] of [
              [0, 0],
              [0, chunk - 1],
              [0, chunk],
              [chunk - 1, chunk],
              [chunk, chunk],
              [chunk, 2 * chunk - 1],
              [chunk - 5, 2 * chunk + 5],
              [10, 3 * chunk + 99],
              [3 * chunk, 3 * chunk + 99],
              [3 * chunk + 99, 3 * chunk + 99]
            ] as const
          ) {
            const part = yield* bodyOf(store, "large", large, { first, last })
            assert.strictEqual(Buffer.compare(part!, bytes.subarray(first, last + 1)), 0, `${first}-${last}`)
          }
          for (const [first, last] of [[0, 0], [0, 999], [999, 999], [10, 20]] as const) {
            const part = yield* bodyOf(store, "small", little, { first, last })
            assert.strictEqual(Buffer.compare(part!, small.subarray(first, last + 1)), 0, `${first}-${last}`)
          }
        })
      )

      test(
        "a stream can be run as often as one likes, also at the same time",
        Effect.gen(function*() {
          const store = yield* open()
          const bytes = bytesOf(2 * chunk + 5)
          yield* store.write("a", newResponse(), bytes)
          const [response] = yield* store.read("a")
          const body = Option.getOrThrow(yield* store.body("a", response!))
          const all = yield* Effect.all([collect(body), collect(body), collect(body)], { concurrency: "unbounded" })
          for (const one of all) assert.strictEqual(Buffer.compare(one, bytes), 0)
        })
      )

      test(
        "knows nothing of what was not written",
        Effect.gen(function*() {
          const store = yield* open()
          deepStrictEqual(yield* store.read("a"), [])
          assert.isFalse(yield* store.contains("a"))
          assert.isFalse(yield* store.delete("a"))
          deepStrictEqual(yield* store.take("a"), [])
          assert.strictEqual(yield* store.size, 0)
          // Who reads it is left a moment.
          yield* TestClock.adjust("2 minutes")
          yield* store.removeExpired
          assert.strictEqual(yield* store.bytes, 0)
          assert.strictEqual(yield* store.clear, 0)
          assert.strictEqual(yield* store.removeExpired, 0)
          assert.strictEqual(yield* store.deleteTag("a"), 0)
          assert.strictEqual(yield* store.deletePrefix("a"), 0)
          assert.strictEqual(yield* store.deleteMany(["a", "b"]), 0)
        })
      )

      test(
        "keys of any text, of 900 bytes at the most",
        Effect.gen(function*() {
          const store = yield* open()
          const keys = ["", " ", "a b", "a", "a ", "é", "\u{1F600}", "\n", "%", "_", "x".repeat(900), "é".repeat(450)]
          for (const [i, key] of keys.entries()) yield* store.write(key, newResponse(), bytesOf(chunk + i, i))
          for (const [i, key] of keys.entries()) {
            assert.strictEqual(Buffer.compare((yield* onlyBody(store, key))!, bytesOf(chunk + i, i)), 0, key)
          }
          yield* store.delete("a")
          assert.strictEqual((yield* onlyBody(store, "a "))?.byteLength, chunk + 4)
          assert.strictEqual((yield* onlyBody(store, "a b"))?.byteLength, chunk + 2)
          for (const key of ["x".repeat(901), "é".repeat(451)]) {
            for (
              const self of [
                store.read(key),
                store.write(key, newResponse(), text("a")),
                store.contains(key),
                store.delete(key),
                store.deleteMany(["a", key]),
                store.take(key),
                store.update(key, (all) => all)
              ]
            ) {
              const error = yield* Effect.flip<unknown, unknown, never>(self)
              assert.instanceOf(error, StorageError.InvalidKey)
            }
          }
        })
      )

      test(
        "stores of one name are the same, and of two have nothing in common",
        Effect.gen(function*() {
          const [one, same, other] = [yield* open({ name: "one" }), yield* open({ name: "one" }), yield* open()]
          yield* one.write("a", newResponse({ tags: ["t"] }), text("hello"))
          assert.strictEqual(textOf(yield* onlyBody(same, "a")), "hello")
          deepStrictEqual(yield* other.read("a"), [])
          assert.strictEqual(yield* other.clear, 0)
          assert.strictEqual(yield* other.deleteTag("t"), 0)
          assert.strictEqual(yield* one.size, 1)
          assert.strictEqual(yield* same.deleteTag("t"), 1)
        })
      )

      test(
        "options that are not valid",
        Effect.gen(function*() {
          for (
            const options of [
              { maxBytes: 0 },
              { maxEntries: -1 },
              { maxEntryBytes: Number.NaN },
              { maxVariants: 0 },
              { sweepInterval: -1 }
            ]
          ) {
            const error = yield* Effect.flip(Effect.scoped(Layer.build(Layer.fresh(HttpCacheStore.layer(options)))))
            assert.strictEqual(error.reason, "InvalidValue", JSON.stringify(options))
          }
        })
      )
    })

    describe("replaces", () => {
      test(
        "what it would answer for, and frees the body",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse(), bytesOf(2 * chunk))
          yield* store.write("a", newResponse({ status: 404 }), text("second"))
          const found = yield* store.read("a")
          deepStrictEqual(found.map(({ status }) => status), [404])
          assert.strictEqual(textOf(yield* onlyBody(store, "a")), "second")
          assert.strictEqual((yield* bodyRows()).length, 1)
        })
      )

      test(
        "keeps what differs in Vary, method or range, the latest first",
        Effect.gen(function*() {
          const store = yield* open()
          const at = (millis: number) => ({ requestTime: start + millis, responseTime: start + millis })
          const variants: ReadonlyArray<Partial<HttpCacheStore.NewResponse>> = [
            { vary: {} },
            { vary: { accept: "a" } },
            { vary: { accept: "b" } },
            { vary: { accept: null } },
            { method: "HEAD" },
            { range: { first: 0, last: 1 }, status: 206 },
            { range: { first: 1, last: 2 }, status: 206 }
          ]
          for (const [i, variant] of variants.entries()) {
            yield* store.write("a", newResponse({ ...variant, ...at(i) }), text(String(i)))
          }
          const found = yield* store.read("a")
          const bodies = yield* Effect.forEach(found, (response) => bodyOf(store, "a", response))
          deepStrictEqual(bodies.map(textOf), ["6", "5", "4", "3", "2", "1", "0"])
          assert.strictEqual(yield* store.size, 1)
        })
      )

      test(
        "a response that was asked for earlier does not replace a later one",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse({ requestTime: start + 10, responseTime: start + 20 }), text("later"))
          const early = yield* store.write(
            "a",
            newResponse({ requestTime: start + 5, responseTime: start + 30 }),
            text("earlier")
          )
          assert.isTrue(Option.isNone(early))
          assert.strictEqual(textOf(yield* onlyBody(store, "a")), "later")
          assert.strictEqual((yield* bodyRows()).length, 1)
        })
      )

      test(
        "keeps so many variants, and the oldest goes with its body",
        Effect.gen(function*() {
          for (const [maxVariants, kept] of [[3, 3], [undefined, 16]] as const) {
            const store = yield* open({ maxVariants, name: `of ${kept}` })
            for (let i = 0; i < 20; i++) {
              yield* store.write(
                "a",
                newResponse({ requestTime: start + i, responseTime: start + i, vary: { accept: String(i) } }),
                text(String(i))
              )
            }
            const found = yield* store.read("a")
            deepStrictEqual(
              found.map(({ vary }) => vary["accept"]),
              Array.from({ length: kept }, (_, i) => String(19 - i))
            )
            assert.strictEqual((yield* bodyRows(`of ${kept}`)).length, kept)
          }
        })
      )

      test(
        "who reads a body that is replaced or deleted meanwhile reads it to its end",
        Effect.gen(function*() {
          const store = yield* open()
          for (
            const away of [
              store.write("a", newResponse(), bytesOf(3 * chunk, 2)),
              store.delete("a"),
              store.update("a", () => []),
              store.deleteMany(["a"]),
              store.deletePrefix("a")
            ]
          ) {
            yield* store.clear
            yield* store.write("a", newResponse(), bytesOf(3 * chunk, 1))
            const [response] = yield* store.read("a")
            const body = Option.getOrThrow(yield* store.body("a", response!))
            const pieces: Array<Uint8Array> = []
            yield* Stream.runForEach(body.stream, (piece) =>
              Effect.suspend(() => {
                pieces.push(piece)
                return pieces.length === 1 ? Effect.asVoid(away) : Effect.void
              }))
            assert.strictEqual(Buffer.compare(Buffer.concat(pieces), bytesOf(3 * chunk, 1)), 0)
            const left = yield* onlyBody(store, "a")
            if (left !== undefined) assert.strictEqual(Buffer.compare(left, bytesOf(3 * chunk, 2)), 0)
            assert.strictEqual((yield* bodyRows()).length, left === undefined ? 0 : 3)
          }
        })
      )
    })

    describe("stores nothing", () => {
      test(
        "of a body that fails, dies or is interrupted, and leaves no rows",
        Effect.gen(function*() {
          const store = yield* open()
          const begun = Stream.make(bytesOf(chunk - 1), bytesOf(2 * chunk), bytesOf(10))
          const failed = yield* Effect.exit(
            store.write("a", newResponse(), Stream.concat(begun, Stream.fail("broken")))
          )
          deepStrictEqual(failed, Exit.fail("broken"))
          assert.isTrue(Exit.isFailure(
            yield* Effect.exit(store.write("a", newResponse(), Stream.concat(begun, Stream.die("defect"))))
          ))
          const reached = yield* Deferred.make<void>()
          const hanging = Stream.concat(
            begun,
            Stream.fromEffect(Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never))
          )
          const writing = yield* Effect.fork(store.write("a", newResponse(), hanging))
          yield* Deferred.await(reached)
          yield* Fiber.interrupt(writing)
          deepStrictEqual(yield* store.read("a"), [])
          // Who reads it is left a moment.
          yield* TestClock.adjust("2 minutes")
          yield* store.removeExpired
          assert.strictEqual(yield* store.bytes, 0)
          deepStrictEqual(yield* bodyRows(), [])
          yield* TestClock.adjust("2 days")
          yield* store.removeExpired
          deepStrictEqual(yield* rowsLeft, [])
        })
      )

      test(
        "of a replacement that fails: what was there stays",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse(), bytesOf(2 * chunk))
          yield* Effect.exit(store.write(
            "a",
            newResponse({ status: 404 }),
            Stream.concat(Stream.make(bytesOf(3 * chunk)), Stream.fail("broken"))
          ))
          assert.strictEqual(Buffer.compare((yield* onlyBody(store, "a"))!, bytesOf(2 * chunk)), 0)
          assert.strictEqual((yield* bodyRows()).length, 2)
        })
      )

      test(
        "of what is too large",
        Effect.gen(function*() {
          for (const options of [{ maxEntryBytes: chunk + 10 }, { maxBytes: chunk + 10 }]) {
            const store = yield* open({ ...options, name: JSON.stringify(options) })
            for (const body of [bytesOf(chunk + 11), Stream.make(bytesOf(chunk), bytesOf(11))]) {
              assert.isTrue(Option.isNone(yield* store.write("a", newResponse(), body)))
            }
            deepStrictEqual(yield* store.read("a"), [])
            deepStrictEqual(yield* bodyRows(JSON.stringify(options)), [])
          }
          const store = yield* open({ maxEntryBytes: 10 })
          assert.isTrue(Option.isSome(yield* store.write("a", newResponse(), bytesOf(10))))
          assert.isTrue(Option.isNone(yield* store.write("b", newResponse(), bytesOf(11))))
          assert.strictEqual(yield* store.size, 1)
        })
      )

      test(
        "of what is not wanted any more when all is there",
        Effect.gen(function*() {
          const store = yield* open()
          let wanted = true
          const body = Stream.concat(
            Stream.make(bytesOf(chunk + 1)),
            Stream.fromEffect(Effect.sync(() => {
              wanted = false
              return bytesOf(5)
            }))
          )
          const written = yield* store.write("a", newResponse(), body, { isWanted: () => wanted })
          assert.isTrue(Option.isNone(written))
          deepStrictEqual(yield* store.read("a"), [])
          deepStrictEqual(yield* bodyRows(), [])
        })
      )
    })

    describe("update", () => {
      test(
        "changes what is known, and never the bodies",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse(), bytesOf(chunk + 1))
          const before = yield* bodyRows()
          yield* store.update("a", (all) =>
            all.map((response) => ({ ...response, headers: { ...response.headers, etag: "\"2\"" } })))
          deepStrictEqual(yield* bodyRows(), before)
          const [response] = yield* store.read("a")
          deepStrictEqual(response?.headers, { "content-type": "text/plain", etag: "\"2\"" })
          assert.strictEqual(Buffer.compare((yield* onlyBody(store, "a"))!, bytesOf(chunk + 1)), 0)
        })
      )

      test(
        "what is left out is removed, with its body",
        Effect.gen(function*() {
          const store = yield* open()
          for (const accept of ["a", "b"]) {
            yield* store.write("a", newResponse({ vary: { accept } }), bytesOf(chunk + 1))
          }
          yield* store.update("a", (all) =>
            all.filter(({ vary }) => vary["accept"] === "b"))
          assert.strictEqual((yield* store.read("a")).length, 1)
          assert.strictEqual((yield* bodyRows()).length, 2)
          yield* store.update("a", () => [])
          assert.isFalse(yield* store.contains("a"))
          assert.strictEqual(yield* store.size, 0)
          deepStrictEqual(yield* bodyRows(), [])
        })
      )

      test(
        "a life that is made longer holds for the body as well",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse({ expiresAt: start + 1000 }), bytesOf(chunk + 1))
          yield* store.update("a", (all) => all.map((response) => ({ ...response, expiresAt: start + 100_000 })))
          yield* TestClock.adjust("50 seconds")
          assert.strictEqual(yield* store.removeExpired, 0)
          assert.strictEqual(Buffer.compare((yield* onlyBody(store, "a"))!, bytesOf(chunk + 1)), 0)
          yield* TestClock.adjust("50 seconds")
          deepStrictEqual(yield* store.read("a"), [])
          assert.strictEqual(yield* store.removeExpired, 1)
          deepStrictEqual(yield* bodyRows(), [])
        })
      )

      test(
        "concurrent updates are all done",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse({ headers: { n: "0" } }), text("a"))
          const once = store.update("a", (all) =>
            all.map((response) => ({ ...response, headers: { n: String(Number(response.headers["n"]) + 1) } })))
          yield* Effect.replicateEffect(once, 20, { concurrency: "unbounded" })
          deepStrictEqual((yield* store.read("a"))[0]?.headers, { n: "20" })
        })
      )
    })

    describe("deletes", () => {
      test(
        "one, several and those that begin so",
        Effect.gen(function*() {
          const store = yield* open()
          for (const key of ["a", "aa", "ab", "b", "c", "d"]) {
            yield* store.write(key, newResponse(), bytesOf(chunk + 1))
          }
          assert.isTrue(yield* store.delete("d"))
          assert.isFalse(yield* store.delete("d"))
          assert.strictEqual(yield* store.deleteMany(["b", "b", "nothing"]), 1)
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys())), ["a", "aa", "ab", "c"])
          assert.strictEqual(yield* store.deletePrefix("a"), 3)
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys())), ["c"])
          assert.strictEqual((yield* bodyRows()).length, 2)
          assert.strictEqual(yield* store.clear, 1)
          deepStrictEqual(yield* bodyRows(), [])
        })
      )

      test(
        "by tag",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse({ tags: ["x", "y"] }), text("a"))
          yield* store.write("b", newResponse({ tags: ["y", "x y", "é \u{1F600}"] }), text("b"))
          yield* store.write("c", newResponse({ tags: ["z"] }), text("c"))
          assert.strictEqual(yield* store.deleteTag("x"), 1)
          assert.isFalse(yield* store.contains("a"))
          assert.strictEqual(yield* store.deleteTag("é \u{1F600}"), 1)
          assert.strictEqual(yield* store.deleteTag("y"), 0)
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys())), ["c"])
          deepStrictEqual((yield* bodyRows()).length, 1)
        })
      )

      test(
        "not by a tag that it has no more",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse({ tags: ["x"] }), text("a"))
          yield* store.write("a", newResponse({ tags: ["y"] }), text("a"))
          assert.strictEqual(yield* store.deleteTag("x"), 0)
          assert.isTrue(yield* store.contains("a"))
          yield* store.update("a", (all) =>
            all.map((response) => ({ ...response, tags: ["z"] })))
          assert.strictEqual(yield* store.deleteTag("y"), 0)
          assert.strictEqual(yield* store.deleteTag("z"), 1)
        })
      )

      test(
        "take gives it to exactly one caller, with the bodies",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse({ vary: { accept: "a" } }), bytesOf(2 * chunk + 1))
          yield* store.write("a", newResponse({ vary: { accept: "b" } }), text("small"))
          const all = yield* Effect.replicateEffect(store.take("a"), 8, { concurrency: "unbounded" })
          const got = all.filter((one) =>
            one.length > 0
          )
          assert.strictEqual(got.length, 1)
          const bodies = new Map(got[0]?.map(({ body, response }) => [response.vary["accept"], body]))
          assert.strictEqual(textOf(bodies.get("b")), "small")
          assert.strictEqual(Buffer.compare(bodies.get("a")!, bytesOf(2 * chunk + 1)), 0)
          assert.isFalse(yield* store.contains("a"))
          // Of what several read at the same time something may be left until it would have expired.
          yield* TestClock.adjust("2 minutes")
          yield* store.removeExpired
          deepStrictEqual(yield* bodyRows(), [])
        })
      )

      test(
        "deleteMany and deletePrefix leave no rows",
        Effect.gen(function*() {
          const store = yield* open()
          for (
            const remove of [
              store.deleteMany(["a"]),
              store.deletePrefix("a"),
              store.delete("a"),
              Effect.asVoid(store.take("a"))
            ]
          ) {
            yield* store.write("a", newResponse({ expiresAt: undefined, tags: ["t"] }), text("b"))
            yield* remove
            yield* TestClock.adjust("10 days")
            yield* store.removeExpired
            deepStrictEqual(yield* rowsLeft, [])
          }
        })
      )
    })

    describe("lists", () => {
      test(
        "keys and values in order",
        Effect.gen(function*() {
          const store = yield* open()
          for (const key of ["b", "a", "é", "ab", "Z"]) {
            for (const accept of ["x", "y"]) yield* store.write(key, newResponse({ vary: { accept } }), text(key))
          }
          const order = ["Z", "a", "ab", "b", "é"]
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys())), order)
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys({ prefix: "a" }))), ["a", "ab"])
          const values = Chunk.toArray(yield* Stream.runCollect(store.values()))
          deepStrictEqual(values.map(({ key }) => key), order.flatMap((key) => [key, key]))
          const some = Chunk.toArray(yield* Stream.runCollect(store.values({ prefix: "ab" })))
          deepStrictEqual(
            some.map(({ key, response }) => [key, response.bytes, response.vary["accept"]]).sort(),
            [["ab", 2, "x"], ["ab", 2, "y"]]
          )
          assert.strictEqual(yield* store.size, 5)
        })
      )

      test(
        "bytes are those of the bodies and what is known of them",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse(), bytesOf(10))
          const small = yield* store.bytes
          assert.isAbove(small, 10)
          yield* store.write("a", newResponse(), bytesOf(3 * chunk))
          const large = yield* store.bytes
          assert.isAtLeast(large - small, 3 * chunk - 10)
          assert.isBelow(large - small, 3 * chunk + 1000)
          yield* store.delete("a")
          // Who reads it is left a moment.
          yield* TestClock.adjust("2 minutes")
          yield* store.removeExpired
          assert.strictEqual(yield* store.bytes, 0)
        })
      )

      test(
        "what has expired is absent",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("a", newResponse({ expiresAt: start + 1000, vary: { accept: "a" } }), text("a"))
          yield* store.write("a", newResponse({ expiresAt: start + 2000, vary: { accept: "b" } }), text("b"))
          yield* store.write("b", newResponse({ expiresAt: undefined }), text("b"))
          yield* TestClock.adjust(999)
          assert.strictEqual((yield* store.read("a")).length, 2)
          yield* TestClock.adjust(1)
          deepStrictEqual((yield* store.read("a")).map(({ vary }) => vary["accept"]), ["b"])
          assert.strictEqual(yield* Stream.runCount(store.values()), 2)
          yield* TestClock.adjust(1000)
          deepStrictEqual(yield* store.read("a"), [])
          assert.isFalse(yield* store.contains("a"))
          deepStrictEqual(yield* store.take("a"), [])
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys())), ["b"])
          assert.strictEqual(yield* Stream.runCount(store.values()), 1)
          assert.strictEqual(yield* store.size, 1)
          yield* TestClock.adjust("10000 days")
          assert.isTrue(yield* store.contains("b"))
        })
      )
    })

    describe("bulk", () => {
      test(
        "all or nothing",
        Effect.gen(function*() {
          const store = yield* open()
          yield* store.write("old", newResponse(), bytesOf(chunk + 1))
          const both = Effect.gen(function*() {
            yield* store.write("a", newResponse({ tags: ["t"] }), bytesOf(2 * chunk))
            yield* store.write("b", newResponse(), text("b"))
            yield* store.delete("old")
            assert.isTrue(yield* store.contains("a"))
          })
          const before = yield* rowsLeft
          deepStrictEqual(
            yield* Effect.exit(store.bulk(Effect.zipRight(both, Effect.fail("no")))),
            Exit.fail("no")
          )
          deepStrictEqual(yield* rowsLeft, before)
          assert.strictEqual(Buffer.compare((yield* onlyBody(store, "old"))!, bytesOf(chunk + 1)), 0)
          yield* store.bulk(both)
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys())), ["a", "b"])
          assert.strictEqual(Buffer.compare((yield* onlyBody(store, "a"))!, bytesOf(2 * chunk)), 0)
        })
      )

      test(
        "bounds hold after one that was rolled back",
        Effect.gen(function*() {
          const store = yield* open({ maxEntries: 3 })
          const some = Effect.forEach(["a", "b", "c", "d", "e"], (key) => store.write(key, newResponse(), text(key)))
          yield* Effect.exit(store.bulk(Effect.zipRight(some, Effect.fail("no"))))
          assert.strictEqual(yield* store.size, 0)
          for (const key of ["x", "y", "z"]) yield* store.write(key, newResponse(), text(key))
          assert.strictEqual(yield* store.size, 3)
        })
      )
    })

    describe("bounds", () => {
      test(
        "more keys are not kept: what was not used for the longest time goes",
        Effect.gen(function*() {
          let evicted = 0
          const store = yield* open({ maxEntries: 3, onEvicted: (keys) => Effect.sync(() => evicted += keys) })
          for (const key of ["a", "b", "c"]) {
            yield* store.write(key, newResponse(), bytesOf(chunk + 1))
            yield* TestClock.adjust(1000)
          }
          yield* store.used("a")
          yield* TestClock.adjust(1000)
          yield* store.write("d", newResponse(), bytesOf(chunk + 1))
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys())), ["a", "c", "d"])
          assert.strictEqual(evicted, 1)
          assert.strictEqual((yield* bodyRows()).length, 6)
        })
      )

      test(
        "more bytes are not kept",
        Effect.gen(function*() {
          const store = yield* open({ maxBytes: 4 * chunk })
          for (let i = 0; i < 12; i++) {
            yield* store.write(`key ${i}`, newResponse(), bytesOf(chunk - 5000))
            yield* TestClock.adjust(10)
            assert.isAtMost(yield* store.bytes, 4 * chunk)
          }
          const keys = Chunk.toArray(yield* Stream.runCollect(store.keys()))
          assert.isAtLeast(keys.length, 2)
          assert.isTrue(keys.includes("key 11"))
          assert.strictEqual((yield* bodyRows()).length, keys.length)
        })
      )

      test(
        "what was deleted makes room",
        Effect.gen(function*() {
          const deletions: ReadonlyArray<(store: Store) => Effect.Effect<unknown, unknown>> = [
            (store) => store.delete("a").pipe(Effect.zipRight(store.delete("b"))),
            (store) => store.deleteMany(["a", "b"]),
            (store) => store.deletePrefix(""),
            (store) => store.deleteTag("t"),
            (store) => store.clear,
            (store) => Effect.zipRight(store.take("a"), store.take("b")),
            (store) => Effect.zipRight(store.update("a", () => []), store.update("b", () => []))
          ]
          for (const [i, remove] of deletions.entries()) {
            let evicted = 0
            const store = yield* open({
              maxEntries: 2,
              name: String(i),
              onEvicted: (keys) => Effect.sync(() => evicted += keys)
            })
            for (const key of ["a", "b"]) yield* store.write(key, newResponse({ tags: ["t"] }), text(key))
            yield* Effect.orDie(remove(store))
            assert.strictEqual(yield* store.size, 0, `deletion ${i}`)
            for (const key of ["c", "d"]) yield* store.write(key, newResponse(), text(key))
            assert.strictEqual(yield* store.size, 2, `deletion ${i}`)
            assert.strictEqual(evicted, 0, `deletion ${i}`)
          }
        })
      )

      test(
        "what has expired makes room",
        Effect.gen(function*() {
          const store = yield* open({ maxEntries: 2 })
          for (const key of ["a", "b"]) yield* store.write(key, newResponse({ expiresAt: start + 1000 }), text(key))
          yield* TestClock.adjust(2000)
          yield* store.removeExpired
          for (const key of ["c", "d"]) yield* store.write(key, newResponse(), text(key))
          deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(store.keys())), ["c", "d"])
        })
      )
    })

    describe("removeExpired", () => {
      test(
        "frees all rows of what has expired, and nothing else",
        Effect.gen(function*() {
          const store = yield* open()
          for (let i = 0; i < 150; i++) {
            yield* store.write(`a ${i}`, newResponse({ expiresAt: start + 1000, tags: ["t"] }), text("a"))
          }
          yield* store.write("large", newResponse({ expiresAt: start + 1000 }), bytesOf(3 * chunk))
          yield* store.write("kept", newResponse({ expiresAt: start + 5000 }), bytesOf(chunk + 1))
          yield* store.write("mixed", newResponse({ expiresAt: start + 1000, vary: { accept: "a" } }), text("a"))
          yield* store.write("mixed", newResponse({ expiresAt: start + 5000, vary: { accept: "b" } }), text("b"))
          yield* store.write("forever", newResponse({ expiresAt: undefined }), text("b"))
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* store.removeExpired, 152)
          assert.strictEqual(yield* store.removeExpired, 0)
          assert.strictEqual((yield* bodyRows()).length, 4)
          assert.strictEqual(Buffer.compare((yield* onlyBody(store, "kept"))!, bytesOf(chunk + 1)), 0)
          const storage = yield* Storage.Storage
          yield* TestClock.adjust(5000)
          assert.strictEqual(yield* store.removeExpired, 2)
          yield* store.delete("forever")
          yield* storage.maintenance.compact
          yield* TestClock.adjust("3 days")
          yield* store.removeExpired
          deepStrictEqual(yield* rowsLeft, [])
        })
      )

      test(
        "frees the chunks of a download whose process was killed",
        Effect.gen(function*() {
          // What a killed process leaves: chunks without a row, and nobody who knows of them.
          const bodies = yield* keyspaceOf("http:bodies default")
          const dead = yield* open()
          const reached = yield* Deferred.make<void>()
          yield* Effect.fork(dead.write(
            "a",
            newResponse(),
            Stream.concat(
              Stream.make(bytesOf(3 * chunk)),
              Stream.fromEffect(Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never))
            )
          ))
          yield* Deferred.await(reached)
          const left = Chunk.toArray(yield* Stream.runCollect(bodies.entries()))
          assert.isAtLeast(left.length, 3)
          const other = yield* Effect.scoped(Effect.gen(function*() {
            const store = yield* open()
            yield* store.removeExpired
            // It may still be going on, as far as anybody knows.
            assert.isAtLeast((yield* bodyRows()).length, 3)
            yield* TestClock.adjust("3 days")
            return yield* store.removeExpired
          }))
          assert.isAtLeast(other, 1)
          deepStrictEqual(yield* bodyRows(), [])
        })
      )

      test(
        "a download that takes long is not taken for one that was killed",
        Effect.gen(function*() {
          const store = yield* open()
          const [reached, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const writing = yield* Effect.fork(store.write(
            "a",
            newResponse({ expiresAt: undefined }),
            Stream.concat(
              Stream.make(bytesOf(2 * chunk)),
              Stream.fromEffect(
                Deferred.succeed(reached, undefined).pipe(
                  Effect.zipRight(Deferred.await(go)),
                  Effect.as(bytesOf(5))
                )
              )
            )
          ))
          yield* Deferred.await(reached)
          yield* TestClock.adjust("3 days")
          yield* store.removeExpired
          yield* Deferred.succeed(go, undefined)
          assert.isTrue(Option.isSome(yield* Fiber.join(writing)))
          assert.strictEqual((yield* onlyBody(store, "a"))?.byteLength, 2 * chunk + 5)
        })
      )

      test(
        "goes on by itself",
        Effect.gen(function*() {
          const store = yield* open({ sweepInterval: "10 seconds" })
          yield* store.write("a", newResponse({ expiresAt: start + 1000 }), bytesOf(chunk + 1))
          yield* TestClock.adjust("11 seconds")
          yield* engine.turns
          deepStrictEqual(yield* bodyRows(), [])
        })
      )
    })

    describe("damage", () => {
      const garbage: ReadonlyArray<string | Uint8Array> = [
        "garbage",
        "",
        "{}",
        "null",
        "[]",
        "{\"format\":2,\"responses\":[]}",
        "{\"format\":1,\"responses\":[{}]}",
        "{\"format\":1,\"responses\":[null]}",
        new Uint8Array([0, 255, 254])
      ]

      test(
        "a row that is none: a miss, and written anew",
        Effect.gen(function*() {
          const rows = yield* keyspaceOf("http default")
          const store = yield* open()
          for (const value of garbage) {
            yield* store.write("a", newResponse(), text("before"))
            yield* rows.set("a", value)
            deepStrictEqual(yield* store.read("a"), [])
            assert.isFalse(yield* store.contains("a"))
            assert.strictEqual(yield* Stream.runCount(store.values()), 0)
            deepStrictEqual(yield* store.take("a"), [])
            yield* rows.set("a", value)
            assert.isTrue(Option.isSome(yield* store.write("a", newResponse(), text("after"))))
            assert.strictEqual(textOf(yield* onlyBody(store, "a")), "after")
          }
        })
      )

      test(
        "a chunk that is damaged or gone: removed, and counted",
        Effect.gen(function*() {
          const bodies = yield* keyspaceOf("http:bodies default")
          const damages: ReadonlyArray<(value: Uint8Array) => Uint8Array | string | undefined> = [
            () => undefined,
            () => "text",
            () => new Uint8Array(0),
            (value) => value.subarray(0, -1),
            (value) => new Uint8Array([...value.subarray(0, 10), (value[10] ?? 0) ^ 1, ...value.subarray(11)]),
            (value) => new Uint8Array([...value, 0])
          ]
          for (const length of [1000, chunk, 2 * chunk + 1000]) {
            for (const [i, damage] of damages.entries()) {
              for (const at of length > chunk ? [0, 1, 2] : [0]) {
                const what = `damage ${i} of chunk ${at} of ${length}`
                const damaged: Array<string> = []
                const store = yield* open({ onDamaged: (key) => Effect.sync(() => damaged.push(key)) })
                const [kept, hurt] = [{ vary: { accept: "kept" } }, { vary: { accept: "hurt" } }]
                yield* store.write("a", newResponse(kept), text("kept"))
                yield* store.write("a", newResponse(hurt), bytesOf(length))
                const response = (yield* store.read("a")).find(({ vary }) => vary["accept"] === "hurt")!
                const chunks = Chunk.toArray(yield* Stream.runCollect(bodies.entries({ prefix: "b" })))
                  .filter(({ key }) => key.includes(response.id))
                const { key, value } = chunks[at]!
                const changed = damage(Buffer.from(value))
                yield* changed === undefined ? bodies.remove(key) : bodies.set(key, changed)
                const exit = yield* Effect.exit(bodyOf(store, "a", response))
                if (Exit.isSuccess(exit)) assert.isUndefined(exit.value, what)
                else {
                  const error = yield* Effect.flip(exit)
                  assert.instanceOf(error, StorageError.StorageError, what)
                  if (error instanceof StorageError.StorageError) assert.strictEqual(error.reason, "Corrupt", what)
                }
                deepStrictEqual(damaged, ["a"], what)
                const left = yield* store.read("a")
                deepStrictEqual(left.map(({ vary }) => vary["accept"]), ["kept"], what)
                assert.strictEqual((yield* bodyRows()).length, 1, what)
                yield* store.clear
              }
            }
          }
        })
      )

      test(
        "a row that is none is removed and counted",
        Effect.gen(function*() {
          const rows = yield* keyspaceOf("http default")
          for (const value of garbage) {
            const damaged: Array<string> = []
            const store = yield* open({ onDamaged: (key) => Effect.sync(() => damaged.push(key)) })
            yield* rows.set("a", value)
            deepStrictEqual(yield* store.read("a"), [])
            deepStrictEqual(damaged, ["a"], String(value))
            assert.isTrue(Option.isNone(yield* rows.get("a")), String(value))
          }
        })
      )

      test(
        "take gives what is not damaged, and removes what is",
        Effect.gen(function*() {
          const bodies = yield* keyspaceOf("http:bodies default")
          for (const length of [1000, 2 * chunk + 1000]) {
            const damaged: Array<string> = []
            const store = yield* open({ onDamaged: (key) => Effect.sync(() => damaged.push(key)) })
            yield* store.write("a", newResponse(), bytesOf(length))
            const [first] = Chunk.toArray(yield* Stream.runCollect(bodies.entries({ prefix: "b" })))
            const value = Buffer.from(first!.value)
            value[3] = value[3]! ^ 1
            yield* bodies.set(first!.key, value)
            yield* Effect.exit(store.take("a"))
            deepStrictEqual(yield* Effect.exit(store.take("a")), Exit.succeed([]), String(length))
            assert.isFalse(yield* store.contains("a"), String(length))
            deepStrictEqual(yield* bodyRows(), [])
          }
        })
      )
    })

    describe("agrees with a Map", () => {
      type Command =
        | {
          readonly _tag: "write"
          readonly key: string
          readonly length: number
          readonly accept: string
          readonly life: number | undefined
          readonly tags: ReadonlyArray<string>
          readonly how: "whole" | "stream" | "failing" | "unwanted"
        }
        | { readonly _tag: "read" | "contains" | "delete" | "take" | "bodies"; readonly key: string }
        | { readonly _tag: "drop" | "extend"; readonly key: string; readonly accept: string }
        | { readonly _tag: "deleteMany"; readonly keys: ReadonlyArray<string> }
        | { readonly _tag: "deletePrefix" | "keys" | "values"; readonly prefix: string }
        | { readonly _tag: "deleteTag"; readonly tag: string }
        | { readonly _tag: "size" | "clear" | "removeExpired" }
        | { readonly _tag: "clock"; readonly millis: number }
        | { readonly _tag: "bulk"; readonly commit: boolean; readonly commands: ReadonlyArray<Command> }

      const key = fc.constantFrom("a", "a b", "ab", "b", "é")
      const accept = fc.constantFrom("x", "y")
      const tag = fc.constantFrom("t", "u")
      const prefix = fc.constantFrom("", "a", "a ", "b")
      const simple: fc.Arbitrary<Command> = fc.oneof(
        {
          arbitrary: fc.record({
            _tag: fc.constant("write" as const),
            accept,
            how: fc.constantFrom(
              "whole" as const,
              "whole" as const,
              "stream" as const,
              "failing" as const,
              "unwanted" as const
            ),
            key,
            length: fc.constantFrom(0, 1, 10, chunk, chunk + 1),
            life: fc.option(fc.integer({ max: 40, min: 1 }), { nil: undefined }),
            tags: fc.uniqueArray(tag, { maxLength: 2 })
          }),
          weight: 6
        },
        fc.record({
          _tag: fc.constantFrom(
            "read" as const,
            "contains" as const,
            "delete" as const,
            "take" as const,
            "bodies" as const
          ),
          key
        }),
        fc.record({ _tag: fc.constantFrom("drop" as const, "extend" as const), accept, key }),
        fc.record({ _tag: fc.constant("deleteMany" as const), keys: fc.array(key, { maxLength: 3 }) }),
        fc.record({ _tag: fc.constantFrom("deletePrefix" as const, "keys" as const, "values" as const), prefix }),
        fc.record({ _tag: fc.constant("deleteTag" as const), tag }),
        fc.record({ _tag: fc.constantFrom("size" as const, "removeExpired" as const, "clear" as const) }),
        fc.record({ _tag: fc.constant("clock" as const), millis: fc.integer({ max: 20, min: 1 }) })
      )
      const command: fc.Arbitrary<Command> = fc.oneof(
        { arbitrary: simple, weight: 12 },
        {
          arbitrary: fc.record({
            _tag: fc.constant("bulk" as const),
            commands: fc.array(simple.filter(({ _tag }) => _tag !== "clock"), { maxLength: 5 }),
            commit: fc.boolean()
          }),
          weight: 1
        }
      )

      interface Known {
        readonly accept: string
        readonly seed: number
        readonly length: number
        readonly expiresAt: number | undefined
        readonly tags: ReadonlyArray<string>
      }
      type Model = Map<string, ReadonlyArray<Known>>

      const living = (model: Model, key: string, now: number) =>
        (model.get(key) ?? []).filter(({ expiresAt }) => expiresAt === undefined || expiresAt > now)
      const keysOf = (model: Model, now: number, prefix = "") =>
        [...model.keys()].filter((key) => key.startsWith(prefix) && living(model, key, now).length > 0).sort()
      const shown = (all: ReadonlyArray<Known>) => all.map(({ accept, length }) => `${accept} ${length}`).sort()

      /** What the model answers, and what it is then. */
      const expected = (model: Model, { ...command }: Command, now: number, seed: number): unknown => {
        switch (command._tag) {
          case "write": {
            if (command.how === "failing") return "failed"
            if (command.how === "unwanted") return false
            const { accept, key, length, life, tags } = command
            const expiresAt = life === undefined ? undefined : now + life
            model.set(key, [
              ...living(model, key, now).filter((known) => known.accept !== accept),
              { accept, expiresAt, length, seed, tags }
            ])
            return true
          }
          case "read":
            return shown(living(model, command.key, now))
          case "bodies":
          case "take": {
            const all = living(model, command.key, now)
            if (command._tag === "take") model.delete(command.key)
            return all.map(({ accept, length, seed }) => [accept, Buffer.from(bytesOf(length, seed)).toString("hex")])
              .sort()
          }
          case "contains":
            return living(model, command.key, now).length > 0
          case "delete": {
            const was = living(model, command.key, now).length > 0
            model.delete(command.key)
            return was
          }
          case "drop":
            model.set(command.key, living(model, command.key, now).filter(({ accept }) => accept !== command.accept))
            return undefined
          case "extend":
            model.set(
              command.key,
              living(model, command.key, now).map((known) =>
                known.accept === command.accept ? { ...known, expiresAt: now + 30 } : known
              )
            )
            return undefined
          case "deleteMany":
          case "deletePrefix":
          case "deleteTag":
          case "clear": {
            const gone = keysOf(model, now).filter((key) =>
              command._tag === "deleteMany"
                ? command.keys.includes(key)
                : command._tag === "deletePrefix"
                ? key.startsWith(command.prefix)
                : command._tag === "clear" || (command._tag === "deleteTag" &&
                  living(model, key, now).some(({ tags }) => tags.includes(command.tag)))
            )
            for (const key of gone) model.delete(key)
            return gone.length
          }
          case "keys":
            return keysOf(model, now, command.prefix)
          case "values":
            return keysOf(model, now, command.prefix).flatMap((key) =>
              shown(living(model, key, now)).map((one) => `${key}: ${one}`)
            ).sort()
          case "size":
            return keysOf(model, now).length
          case "removeExpired":
          case "clock":
            return undefined
          case "bulk": {
            const before = new Map(model)
            const answers = command.commands.map((one, i) => expected(model, one, now, seed * 100 + i))
            if (!command.commit) {
              model.clear()
              for (const [key, value] of before) model.set(key, value)
            }
            return answers
          }
        }
      }

      const actual = (
        store: Store,
        command: Command,
        seed: number
      ): Effect.Effect<unknown, StorageError.StorageError | StorageError.InvalidKey> =>
        Effect.gen(function*() {
          switch (command._tag) {
            case "write": {
              const now = yield* TestClock.currentTimeMillis
              const { accept, how, key, length, life, tags } = command
              const response = newResponse({
                expiresAt: life === undefined ? undefined : now + life,
                requestTime: now,
                responseTime: now,
                tags,
                vary: { accept }
              })
              const bytes = bytesOf(length, seed)
              const halves = Stream.make(bytes.subarray(0, length / 2), bytes.subarray(length / 2))
              const body = how === "whole" || how === "unwanted"
                ? bytes
                : how === "stream"
                ? halves
                : Stream.concat(halves, Stream.fail("failed" as const))
              return yield* store.write(key, response, body, { isWanted: () => how !== "unwanted" }).pipe(
                Effect.map(Option.isSome),
                Effect.catchIf((error): error is "failed" => error === "failed", () => Effect.succeed("failed"))
              )
            }
            case "read":
              return (yield* store.read(command.key)).map(({ bytes, vary }) => `${vary["accept"]} ${bytes}`).sort()
            case "bodies":
              return (yield* Effect.forEach(yield* store.read(command.key), (response) =>
                Effect.map(bodyOf(store, command.key, response), (body) => [
                  response.vary["accept"],
                  Buffer.from(body!).toString("hex")
                ]))).sort()
            case "take":
              return (yield* store.take(command.key)).map(({ body, response }) => [
                response.vary["accept"],
                Buffer.from(body).toString("hex")
              ]).sort()
            case "contains":
              return yield* store.contains(command.key)
            case "delete":
              return yield* store.delete(command.key)
            case "drop":
              return yield* store.update(command.key, (all) =>
                all.filter(({ vary }) => vary["accept"] !== command.accept))
            case "extend": {
              const now = yield* TestClock.currentTimeMillis
              return yield* store.update(command.key, (all) =>
                all.map((one) =>
                  one.vary["accept"] === command.accept ? { ...one, expiresAt: now + 30 } : one
                ))
            }
            case "deleteMany":
              return yield* store.deleteMany(command.keys)
            case "deletePrefix":
              return yield* store.deletePrefix(command.prefix)
            case "deleteTag":
              return yield* store.deleteTag(command.tag)
            case "clear":
              return yield* store.clear
            case "keys":
              return Chunk.toArray(yield* Stream.runCollect(store.keys({ prefix: command.prefix })))
            case "values":
              return Chunk.toArray(yield* Stream.runCollect(store.values({ prefix: command.prefix })))
                .map(({ key, response }) => `${key}: ${response.vary["accept"]} ${response.bytes}`).sort()
            case "size":
              return yield* store.size
            case "removeExpired":
              return yield* Effect.asVoid(store.removeExpired)
            case "clock":
              return yield* TestClock.adjust(command.millis)
            case "bulk": {
              const answers: Array<unknown> = []
              yield* store.bulk(Effect.zipRight(
                Effect.forEach(command.commands, (one, i) =>
                  Effect.map(actual(store, one, seed * 100 + i), (answer) =>
                    answers.push(answer))),
                command.commit ? Effect.void : Effect.fail("rolled back" as const)
              )).pipe(Effect.catchIf((error) =>
                error === "rolled back", () => Effect.void))
              return answers
            }
          }
        })

      it("on random programs", async () => {
        await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
          const context = yield* Layer.build(engine.layer)
          let run = 0
          yield* Effect.promise(() =>
            fc.assert(
              fc.asyncProperty(fc.array(command, { maxLength: 30, minLength: 5 }), (commands) =>
                Effect.runPromise(
                  Effect.gen(function*() {
                    yield* TestClock.setTime(start)
                    const name = `model ${run++}`
                    const store = yield* open({ name })
                    const model: Model = new Map()
                    for (const [i, one] of commands.entries()) {
                      const now = yield* TestClock.currentTimeMillis
                      const answer = yield* actual(store, one, i + 1)
                      deepStrictEqual(answer, expected(model, one, now, i + 1), `${i}: ${JSON.stringify(one)}`)
                    }
                    // Nothing is left of what is gone.
                    yield* TestClock.adjust("3 days")
                    yield* store.removeExpired
                    const now = yield* TestClock.currentTimeMillis
                    const rows = yield* bodyRows(name)
                    const bodies = [...model.keys()].flatMap((key) => living(model, key, now))
                    assert.strictEqual(
                      rows.length,
                      bodies.reduce((sum, { length }) => sum + Math.ceil(length / chunk), 0)
                    )
                  }).pipe(Effect.scoped, Effect.provide(context), Effect.provide(TestContext.TestContext))
                )),
              { numRuns: engine === postgres ? 25 : 100 }
            )
          )
        })))
      }, 60_000)
    })
  })
