/** What a TtlStore promises beyond what a KeyValueStore does, on any engine. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Chunk,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Equal,
  Exit,
  Fiber,
  Layer,
  Option,
  Ref,
  Schema,
  Stream,
  TestClock
} from "effect"
import { Codec, KeyValueStore, Storage, StorageError, TtlStore } from "effect-kv"
import { describeOn, type Engine, postgres } from "../engines.js"

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

/** When each test begins, in milliseconds since the epoch: room for clocks that go backwards. */
const start = 1_000_000
const lifetime = 1000

const Missing: TtlStore.Ttl = { _tag: "Missing" }
const Persistent: TtlStore.Ttl = { _tag: "Persistent" }
/** What `ttl` says at `now` of what expires at `expiresAt`. */
const remaining = (expiresAt: number, now: number): TtlStore.Ttl => ({
  _tag: "Remaining",
  expiresAt,
  timeToLive: Duration.millis(expiresAt - now)
})

const sameTtl = (actual: TtlStore.Ttl, expected: TtlStore.Ttl, message?: string) =>
  deepStrictEqual({ ...actual }, { ...expected }, message)

/** Without a time to live of its own. */
class Texts extends TtlStore.Tag<Texts>()("test/Texts", { keyspace: "texts", value: Codec.text }) {}
/** With one. */
class Sessions extends TtlStore.Tag<Sessions>()("test/Sessions", {
  keyspace: "sessions",
  timeToLive: lifetime,
  value: Codec.text
}) {}
class Counters extends TtlStore.Tag<Counters>()("test/Counters", {
  keyspace: "counters",
  timeToLive: lifetime,
  value: Schema.Number
}) {}
const Id = Schema.NumberFromString.pipe(Schema.int(), Schema.brand("Id"))
const id = Schema.decodeSync(Id)
class ById extends TtlStore.Tag<ById>()("test/ById", {
  key: Id,
  keyspace: "by id",
  timeToLive: "1 second",
  value: Schema.Date
}) {}

const stores = Layer.mergeAll(
  Texts.layer,
  Sessions.layer,
  Counters.layer,
  ById.layer,
  TtlStore.layer({ timeToLive: Duration.seconds(1) })
)

type Failure = KeyValueStore.Failure | StorageError.CounterError | StorageError.KeyNotFound

/** The methods that write a value, by the rule for an expiry that nobody gave. */
const creating = ["set", "setMany", "setMany own", "insert", "replace", "swap", "getOrInsert", "getOrSet"] as const
const changing = ["update", "modify", "compareAndSet", "increment", "append"] as const
type Writing = (typeof creating)[number] | (typeof changing)[number]

const said = ["nothing", "timeToLive", "DateTime", "Date", "number", "infinite", "keep"] as const
const states = ["never there", "expired", "expiring", "persistent"] as const

const given: Record<(typeof said)[number], TtlStore.Expiry | undefined> = {
  Date: { expiresAt: new Date(start + 300) },
  DateTime: { expiresAt: DateTime.unsafeMakeZoned(start + 200, { timeZone: "Asia/Tokyo" }) },
  infinite: { timeToLive: Infinity },
  keep: { keep: true },
  nothing: undefined,
  number: { expiresAt: start + 400 },
  timeToLive: { timeToLive: "100 millis" }
}

/** When the entry expires afterwards, by the documentation; `Infinity` for never, undefined if there is none. */
const expectedExpiry = (
  method: Writing,
  said: keyof typeof given,
  state: (typeof states)[number],
  ownLifetime: number | undefined
): number | undefined => {
  const before = state === "expiring" ? start + 50 : state === "persistent" ? Infinity : undefined
  // Those that write only what is absent, or only what is there.
  if (before !== undefined && ["insert", "getOrInsert", "getOrSet"].includes(method)) return before
  if (before === undefined && ["replace", "update"].includes(method)) return undefined
  const unsaid = ownLifetime === undefined ? Infinity : start + ownLifetime
  switch (said) {
    case "timeToLive":
      return start + 100
    case "DateTime":
      return start + 200
    case "Date":
      return start + 300
    case "number":
      return start + 400
    case "infinite":
      return Infinity
    case "keep":
      return before ?? unsaid
    case "nothing":
      return (changing as ReadonlyArray<string>).includes(method) ? before ?? unsaid : unsaid
  }
}

const write = (
  method: Writing,
  texts: TtlStore.TtlStore<string, string>,
  counters: TtlStore.TtlStore<string, number>,
  key: string,
  expiry: TtlStore.Expiry | undefined
): Effect.Effect<unknown, Failure> => {
  switch (method) {
    case "set":
      return texts.set(key, "2", expiry)
    case "setMany":
      return texts.setMany([[key, "2"], ["other", "2"]], expiry)
    case "setMany own":
      return texts.setMany([["other", "2"], [key, "2", expiry]])
    case "insert":
      return texts.insert(key, "2", expiry)
    case "replace":
      return texts.replace(key, "2", expiry)
    case "swap":
      return texts.swap(key, "2", expiry)
    case "getOrInsert":
      return texts.getOrInsert(key, () => "2", expiry)
    case "getOrSet":
      return texts.getOrSet(key, Effect.succeed("2"), expiry)
    case "update":
      return texts.update(key, () => "2", expiry)
    case "modify":
      return texts.modify(key, () => [undefined, Option.some("2")], expiry)
    case "compareAndSet":
      return Effect.flatMap(texts.get(key), (now) => texts.compareAndSet(key, now, Option.some("2"), expiry))
    case "increment":
      return counters.increment(key, 1, expiry)
    case "append":
      return texts.append(key, "2", expiry)
  }
}

const isInvalid = (error: unknown, method: string, ...parts: ReadonlyArray<string>): void => {
  assert(error instanceof StorageError.StorageError, `${method}: ${String(error)}`)
  assert.strictEqual(error.reason, "InvalidValue")
  assert.strictEqual(error.method, method)
  for (const part of parts) assert.include(error.message, part)
}

export const suite = (engine: Engine) =>
  describeOn(engine, "TtlStore", () => {
    const test = <A, E>(
      title: string,
      body: Effect.Effect<A, E, Layer.Layer.Success<typeof stores> | Storage.Storage>
    ) =>
      it.effect(
        title,
        () => Effect.zipRight(TestClock.setTime(start), Effect.provide(body, Layer.provideMerge(stores, engine.layer)))
      )

    describe("an entry that is expired", () => {
      test(
        "is absent exactly from the moment on at which it expires",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.set("k", "v", { timeToLive: 100 })
          yield* TestClock.setTime(start + 99)
          deepStrictEqual(yield* texts.get("k"), Option.some("v"))
          assert.isTrue(yield* texts.has("k"))
          assert.strictEqual(yield* texts.size(), 1)
          sameTtl(yield* texts.ttl("k"), remaining(start + 100, start + 99))
          yield* TestClock.setTime(start + 100)
          deepStrictEqual(yield* texts.get("k"), Option.none())
          assert.isFalse(yield* texts.has("k"))
          assert.strictEqual(yield* texts.size(), 0)
          sameTtl(yield* texts.ttl("k"), Missing)
        })
      )

      test(
        "is absent to whatever reads",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.setMany([["a", "1"], ["b", "2"], ["c", "3"]], { timeToLive: 1 })
          yield* texts.setMany([["aa", "4"], ["bb", "5", { timeToLive: 2 }]])
          yield* TestClock.adjust(1)
          const missing = yield* Effect.flip(texts.getOrFail("a"))
          assert.strictEqual(missing._tag, "KeyNotFound")
          deepStrictEqual(yield* texts.getMany(["a", "aa", "b", "bb"]), [
            Option.none(),
            Option.some("4"),
            Option.none(),
            Option.some("5")
          ])
          deepStrictEqual(yield* texts.getManyMap(["a", "aa", "c"]), new Map([["aa", "4"]]))
          deepStrictEqual(yield* collect(texts.keys()), ["aa", "bb"])
          deepStrictEqual(yield* collect(texts.keys({ limit: 1 })), ["aa"])
          deepStrictEqual(yield* collect(texts.values({ reverse: true })), ["5", "4"])
          deepStrictEqual(yield* collect(texts.entries({ from: "b" })), [["bb", "5"]])
          deepStrictEqual(yield* texts.toMap(), new Map([["aa", "4"], ["bb", "5"]]))
          assert.strictEqual(yield* texts.size(), 2)
          assert.strictEqual(yield* texts.size({ prefix: "a" }), 1)
          assert.isFalse(yield* texts.isEmpty)
          assert.isTrue(yield* texts.prefix("c").isEmpty)
        })
      )

      test(
        "leaves a store empty",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.setMany(Array.from({ length: 40 }, (_, i) => [`${i}`, "v"]), { timeToLive: 1 })
          assert.isFalse(yield* texts.isEmpty)
          yield* TestClock.adjust(1)
          assert.isTrue(yield* texts.isEmpty)
          deepStrictEqual(yield* texts.toMap(), new Map())
        })
      )

      test(
        "does not count among what is removed",
        Effect.gen(function*() {
          const texts = yield* Texts
          const filled = Effect.zipRight(
            texts.setMany([["a", "1", { timeToLive: 1 }], ["b", "2", { timeToLive: 1 }], ["c", "3"], ["d", "4"]]),
            TestClock.adjust(1)
          )
          yield* filled
          assert.isFalse(yield* texts.remove("a"))
          assert.isTrue(yield* texts.remove("c"))
          yield* filled
          assert.strictEqual(yield* texts.removeMany(["a", "b", "c"]), 1)
          yield* filled
          assert.strictEqual(yield* texts.clear({ to: "d" }), 1)
          yield* filled
          assert.strictEqual(yield* texts.clear(), 2)
          assert.strictEqual(yield* texts.clear(), 0)
        })
      )

      test(
        "is absent to whatever writes",
        Effect.gen(function*() {
          const texts = yield* Texts
          const counters = yield* Counters
          const expired = Effect.all([
            texts.set("k", "old", { expiresAt: start }),
            counters.set("n", 41, { expiresAt: start })
          ])
          yield* expired
          deepStrictEqual(yield* texts.take("k"), Option.none())
          yield* expired
          assert.isTrue(yield* texts.insert("k", "new"))
          assert.strictEqual(yield* texts.getOrFail("k"), "new")
          yield* expired
          assert.isFalse(yield* texts.replace("k", "new"))
          deepStrictEqual(yield* texts.update("k", (value) => `${value}!`), Option.none())
          assert.isFalse(yield* texts.has("k"))
          assert.strictEqual(yield* texts.modify("k", (value) => [Option.isNone(value), Option.none()]), true)
          yield* expired
          assert.strictEqual(yield* texts.getOrInsert("k", () => "new"), "new")
          yield* expired
          assert.isFalse(yield* texts.compareAndSet("k", Option.some("old"), Option.some("new")))
          assert.isTrue(yield* texts.compareAndSet("k", Option.none(), Option.some("new")))
          assert.strictEqual(yield* texts.getOrFail("k"), "new")
          yield* expired
          assert.isTrue(yield* texts.compareAndSet("k", Option.none(), Option.none()))
          assert.isFalse(yield* texts.has("k"))
          yield* expired
          assert.strictEqual(yield* counters.increment("n", 1), 1)
          yield* texts.append("k", "new")
          assert.strictEqual(yield* texts.getOrFail("k"), "new")
          yield* expired
          deepStrictEqual(yield* texts.swap("k", "new"), Option.none())
          yield* expired
          assert.strictEqual(yield* texts.getOrSet("k", Effect.succeed("new")), "new")
          assert.strictEqual(yield* texts.getOrFail("k"), "new")
        })
      )

      test(
        "is neither source nor target of a rename",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.set("old", "1", { expiresAt: start })
          yield* texts.set("k", "2")
          assert.strictEqual(yield* texts.rename("old", "other"), "SourceMissing")
          assert.strictEqual(yield* texts.rename("old", "old"), "SourceMissing")
          assert.strictEqual(yield* texts.rename("old", "k", { overwrite: true }), "SourceMissing")
          assert.strictEqual(yield* texts.rename("k", "old"), "Renamed")
          deepStrictEqual(yield* texts.toMap(), new Map([["old", "2"]]))
          sameTtl(yield* texts.ttl("old"), Persistent)
        })
      )

      test(
        "is not brought back by giving it more time",
        Effect.gen(function*() {
          const texts = yield* Texts
          const sessions = yield* Sessions
          for (const store of [texts, sessions]) {
            yield* store.set("k", "v", { expiresAt: start })
            assert.isFalse(yield* store.expire("k", "1 hour"))
            assert.isFalse(yield* store.expire("k", "1 hour", { onlyIf: "later" }))
            assert.isFalse(yield* store.expireAt("k", start + 10))
            assert.isFalse(yield* store.persist("k"))
            assert.isFalse(yield* store.touch("k"))
            assert.isFalse(yield* store.touch("k", "1 hour"))
            assert.isFalse(yield* store.extend("k", "1 hour"))
            deepStrictEqual(yield* store.getAndTouch("k"), Option.none())
            deepStrictEqual(yield* store.getAndTouch("k", "1 hour"), Option.none())
            sameTtl(yield* store.ttl("k"), Missing)
            deepStrictEqual(yield* store.get("k"), Option.none())
          }
        })
      )
    })

    describe("what is written expires", () => {
      test(
        "as told, or as before, or as the store says: every method, every expiry, whatever was there",
        Effect.gen(function*() {
          const counters = {
            0: yield* TtlStore.make({ keyspace: "lasting counters", value: Schema.Number }),
            1: yield* Counters
          }
          const texts = { 0: yield* Texts, 1: yield* Sessions }
          const actual: Record<string, TtlStore.Ttl> = {}
          const expected: Record<string, TtlStore.Ttl> = {}
          for (const which of [0, 1] as const) {
            for (const method of [...creating, ...changing]) {
              const store = method === "increment" ? counters[which] : texts[which]
              const fill = (expiry?: TtlStore.Expiry) =>
                method === "increment" ? counters[which].set("k", 1, expiry) : texts[which].set("k", "1", expiry)
              for (const state of states) {
                for (const what of said) {
                  const title = `${method}, ${what} said, ${state}, ${which === 0 ? "no " : ""}time to live`
                  yield* store.remove("k")
                  if (state === "expired") yield* fill({ expiresAt: start })
                  if (state === "expiring") yield* fill({ expiresAt: start + 50 })
                  if (state === "persistent") {
                    yield* fill()
                    yield* store.persist("k")
                  }
                  yield* write(method, texts[which], counters[which], "k", given[what])
                  actual[title] = { ...yield* store.ttl("k") }
                  const at = expectedExpiry(method, what, state, which === 0 ? undefined : lifetime)
                  expected[title] = at === undefined ? Missing : at === Infinity ? Persistent : remaining(at, start)
                }
              }
            }
          }
          deepStrictEqual(actual, expected)
        })
      )

      test(
        "at once, if its time to live is zero or less or its time has passed",
        Effect.gen(function*() {
          const texts = yield* Texts
          const counters = yield* Counters
          const over: ReadonlyArray<TtlStore.Expiry> = [
            { timeToLive: 0 },
            { timeToLive: -5 },
            { timeToLive: -Infinity },
            { timeToLive: "-1 seconds" },
            { timeToLive: -1n },
            { timeToLive: Duration.zero },
            { expiresAt: start },
            { expiresAt: start - 1 },
            { expiresAt: 0 },
            { expiresAt: -1 },
            { expiresAt: -Infinity },
            { expiresAt: new Date(start - 1) },
            { expiresAt: DateTime.unsafeMake(start) }
          ]
          for (const expiry of over) {
            for (const method of [...creating, ...changing]) {
              for (const there of [false, true]) {
                // Those that write only what is absent, and so nothing.
                if (there && ["insert", "getOrInsert", "getOrSet"].includes(method)) continue
                yield* Effect.all([texts.remove("k"), counters.remove("k")])
                if (there) yield* Effect.all([texts.set("k", "1"), counters.set("k", 1)])
                yield* write(method, texts, counters, "k", expiry)
                const store = method === "increment" ? counters : texts
                deepStrictEqual(yield* store.get("k"), Option.none(), `${method} ${String(expiry)}`)
              }
            }
          }
        })
      )

      test(
        "to the whole millisecond at or after its time",
        Effect.gen(function*() {
          const texts = yield* Texts
          const fractions: ReadonlyArray<readonly [TtlStore.Expiry, number]> = [
            [{ timeToLive: 0.5 }, 1],
            [{ timeToLive: 2.000001 }, 3],
            [{ timeToLive: "1.5 millis" }, 2],
            [{ timeToLive: 1n }, 1],
            [{ timeToLive: 2_000_000n }, 2],
            [{ timeToLive: 2_000_001n }, 3],
            [{ timeToLive: [0, 1_500_000] }, 2],
            [{ expiresAt: start + 0.25 }, 1]
          ]
          for (const [expiry, millis] of fractions) {
            yield* texts.set("k", "v", expiry)
            sameTtl(yield* texts.ttl("k"), remaining(start + millis, start))
          }
        })
      )

      test(
        "never, if that is infinitely far, and late, if it is further than numbers go",
        Effect.gen(function*() {
          const texts = yield* Texts
          const sessions = yield* Sessions
          for (const expiry of [{ timeToLive: Infinity }, { timeToLive: Duration.infinity }, { expiresAt: Infinity }]) {
            yield* sessions.set("k", "v", expiry)
            sameTtl(yield* sessions.ttl("k"), Persistent)
          }
          const far: ReadonlyArray<TtlStore.Expiry> = [
            { timeToLive: 2 ** 60 },
            { timeToLive: 2n ** 90n },
            { timeToLive: Number.MAX_VALUE },
            { timeToLive: Number.MAX_SAFE_INTEGER },
            { expiresAt: 2 ** 60 }
          ]
          for (const expiry of far) {
            yield* texts.set("k", "v", expiry)
            const ttl = yield* texts.ttl("k")
            assert(ttl._tag === "Remaining")
            // A hundred thousand years.
            assert.isAbove(ttl.expiresAt, 1e5 * 365 * 24 * 3600 * 1000)
            deepStrictEqual(yield* texts.get("k"), Option.some("v"))
          }
        })
      )

      test(
        "with the value when it is renamed",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          yield* sessions.setMany([["a", "1", { timeToLive: 5 }], ["b", "2"], ["c", "3", { timeToLive: Infinity }]])
          assert.strictEqual(yield* sessions.rename("a", "d"), "Renamed")
          sameTtl(yield* sessions.ttl("d"), remaining(start + 5, start))
          assert.strictEqual(yield* sessions.rename("c", "b", { overwrite: true }), "Renamed")
          sameTtl(yield* sessions.ttl("b"), Persistent)
          assert.strictEqual(yield* sessions.rename("b", "b"), "Renamed")
          sameTtl(yield* sessions.ttl("b"), Persistent)
        })
      )
    })

    describe("setMany", () => {
      test(
        "has an expiry for each, for all, or neither",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          yield* sessions.set("kept", "0", { timeToLive: 7 })
          yield* sessions.set("for ever", "0", { timeToLive: Infinity })
          yield* sessions.set("expired", "0", { timeToLive: 0 })
          yield* sessions.setMany([
            ["own", "1", { timeToLive: 1 }],
            ["all", "1"],
            ["undefined", "1", undefined],
            ["kept", "1", { keep: true }],
            ["for ever", "1", { keep: true }],
            ["expired", "1", { keep: true }],
            ["absent", "1", { keep: true }],
            ["past", "1", { expiresAt: start - 1 }]
          ], { expiresAt: start + 9 })
          const ttls = yield* Effect.forEach([
            "own",
            "all",
            "undefined",
            "kept",
            "for ever",
            "expired",
            "absent",
            "past"
          ], (key) => Effect.map(sessions.ttl(key), (ttl) => ({ ...ttl })))
          deepStrictEqual(ttls, [
            remaining(start + 1, start),
            remaining(start + 9, start),
            remaining(start + 9, start),
            remaining(start + 7, start),
            Persistent,
            remaining(start + lifetime, start),
            remaining(start + lifetime, start),
            Missing
          ])
          deepStrictEqual(new Set((yield* sessions.toMap()).values()), new Set(["1"]))
          yield* sessions.setMany([["own", "2"], ["new", "2"]], { keep: true })
          sameTtl(yield* sessions.ttl("own"), remaining(start + 1, start))
          sameTtl(yield* sessions.ttl("new"), remaining(start + lifetime, start))
          assert.strictEqual(yield* sessions.getOrFail("own"), "2")
        })
      )

      test(
        "takes the last of equal keys, with its expiry",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.setMany([["k", "1", { timeToLive: 1 }], ["k", "2"], ["l", "1"], ["l", "2", { timeToLive: 2 }]])
          deepStrictEqual(yield* texts.toMap(), new Map([["k", "2"], ["l", "2"]]))
          sameTtl(yield* texts.ttl("k"), Persistent)
          sameTtl(yield* texts.ttl("l"), remaining(start + 2, start))
          yield* texts.setMany([["l", "3", { timeToLive: 9 }], ["l", "4", { keep: true }]])
          sameTtl(yield* texts.ttl("l"), remaining(start + 2, start))
          yield* texts.setMany([["l", "5", { keep: true }], ["l", "6", { timeToLive: 0 }]])
          sameTtl(yield* texts.ttl("l"), Missing)
        })
      )

      test(
        "keeps expiries in a transaction too, and is all or nothing",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.set("k", "1", { timeToLive: 5 })
          const both = texts.setMany([["k", "2", { keep: true }], ["l", "2", { keep: true }]])
          yield* Effect.flip(texts.transaction(Effect.zipRight(both, Effect.fail("no"))))
          deepStrictEqual(yield* texts.toMap(), new Map([["k", "1"]]))
          yield* texts.transaction(both)
          deepStrictEqual(yield* texts.toMap(), new Map([["k", "2"], ["l", "2"]]))
          sameTtl(yield* texts.ttl("k"), remaining(start + 5, start))
        })
      )
    })

    describe("ttl", () => {
      test(
        "has three answers",
        Effect.gen(function*() {
          const texts = yield* Texts
          sameTtl(yield* texts.ttl("k"), Missing)
          yield* texts.set("k", "v")
          sameTtl(yield* texts.ttl("k"), Persistent)
          yield* texts.set("k", "v", { timeToLive: "1 hour" })
          yield* TestClock.adjust("20 minutes")
          const ttl = yield* texts.ttl("k")
          sameTtl(ttl, remaining(start + 3_600_000, start + 1_200_000))
          const show = TtlStore.Ttl.$match({
            Missing: () => "missing",
            Persistent: () => "persistent",
            Remaining: ({ expiresAt, timeToLive }) => `${expiresAt} ${Duration.format(timeToLive)}`
          })
          deepStrictEqual([Missing, Persistent, ttl].map(show), ["missing", "persistent", `${start + 3_600_000} 40m`])
          assert.isTrue(TtlStore.Ttl.$is("Remaining")(ttl))
        })
      )

      test(
        "equals what the constructors make",
        Effect.gen(function*() {
          const texts = yield* Texts
          assert.isTrue(Equal.equals(yield* texts.ttl("k"), TtlStore.Ttl.Missing()))
          yield* texts.set("k", "v")
          assert.isTrue(Equal.equals(yield* texts.ttl("k"), TtlStore.Ttl.Persistent()))
          yield* texts.expire("k", 5)
          assert.isTrue(Equal.equals(
            yield* texts.ttl("k"),
            TtlStore.Ttl.Remaining({ expiresAt: start + 5, timeToLive: Duration.millis(5) })
          ))
        })
      )
    })

    describe("expire and expireAt", () => {
      test(
        "set when an entry that is there expires, and nothing else",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          assert.isFalse(yield* sessions.expire("k", "1 hour"))
          assert.isFalse(yield* sessions.expireAt("k", start + 5))
          assert.isFalse(yield* sessions.has("k"))
          yield* sessions.set("k", "v")
          assert.isTrue(yield* sessions.expire("k", "1 minute"))
          sameTtl(yield* sessions.ttl("k"), remaining(start + 60_000, start))
          for (const time of [start + 7, new Date(start + 7), DateTime.unsafeMake(start + 7)]) {
            yield* sessions.persist("k")
            assert.isTrue(yield* sessions.expireAt("k", time))
            sameTtl(yield* sessions.ttl("k"), remaining(start + 7, start))
          }
          assert.isTrue(yield* sessions.expire("k", Infinity))
          sameTtl(yield* sessions.ttl("k"), Persistent)
          assert.isTrue(yield* sessions.expireAt("k", start + 7))
          assert.isTrue(yield* sessions.expireAt("k", Infinity))
          sameTtl(yield* sessions.ttl("k"), Persistent)
          assert.strictEqual(yield* sessions.getOrFail("k"), "v")
          for (
            const over of [
              sessions.expire("k", 0),
              sessions.expire("k", -1),
              sessions.expireAt("k", start),
              sessions.expireAt("k", -1)
            ]
          ) {
            yield* sessions.set("k", "v")
            assert.isTrue(yield* over)
            assert.isFalse(yield* sessions.has("k"))
          }
        })
      )

      test(
        "change only entries that meet the condition",
        Effect.gen(function*() {
          const texts = yield* Texts
          const lives = [Infinity, 100, 200, 300] as const
          const conditions = [undefined, "persistent", "expiring", "later", "earlier"] as const
          const meets = (condition: TtlStore.Condition | undefined, before: number, next: number): boolean =>
            condition === "persistent"
              ? before === Infinity
              : condition === "expiring"
              ? before < Infinity
              : condition === "later"
              ? next > before
              : condition === "earlier"
              ? next < before
              : true
          for (const before of lives) {
            for (const next of [200, Infinity]) {
              for (const onlyIf of conditions) {
                const changes = meets(onlyIf, before, next)
                const after = changes ? next : before
                for (
                  const expire of [
                    texts.expire("k", next, { onlyIf }),
                    texts.expireAt("k", start + next, { onlyIf })
                  ]
                ) {
                  const title = `${before} to ${next} if ${onlyIf}`
                  yield* texts.set("k", "v", { timeToLive: before })
                  assert.strictEqual(yield* expire, changes, title)
                  sameTtl(
                    yield* texts.ttl("k"),
                    after === Infinity ? Persistent : remaining(start + after, start),
                    title
                  )
                }
              }
            }
          }
          for (const onlyIf of conditions) assert.isFalse(yield* texts.expire("absent", 1, { onlyIf }))
        })
      )

      test(
        "and the others change an entry that does not fit the schema as well",
        Effect.gen(function*() {
          const plain = yield* TtlStore.TtlStore
          const numbers = plain.forSchema(Schema.Number)
          yield* plain.set("k", "no number")
          assert.isTrue(yield* numbers.expire("k", 50))
          assert.isTrue(yield* numbers.extend("k", 50))
          sameTtl(yield* numbers.ttl("k"), remaining(start + 100, start))
          assert.isTrue(yield* numbers.touch("k"))
          sameTtl(yield* numbers.ttl("k"), remaining(start + lifetime, start))
          assert.isTrue(yield* numbers.persist("k"))
          assert.strictEqual((yield* Effect.flip(numbers.getAndTouch("k", 1)))._tag, "CodecError")
          sameTtl(yield* numbers.ttl("k"), Persistent)
          assert.strictEqual(yield* plain.getOrFail("k"), "no number")
        })
      )
    })

    describe("persist, extend", () => {
      test(
        "take the expiry away, or put it off",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          assert.isFalse(yield* sessions.persist("k"))
          assert.isFalse(yield* sessions.extend("k", 1))
          yield* sessions.set("k", "v")
          yield* TestClock.adjust(400)
          assert.isTrue(yield* sessions.extend("k", "1 second"))
          sameTtl(yield* sessions.ttl("k"), remaining(start + 2000, start + 400))
          assert.isTrue(yield* sessions.extend("k", 0))
          sameTtl(yield* sessions.ttl("k"), remaining(start + 2000, start + 400))
          assert.isTrue(yield* sessions.extend("k", Infinity))
          sameTtl(yield* sessions.ttl("k"), Persistent)
          assert.isTrue(yield* sessions.extend("k", 5))
          sameTtl(yield* sessions.ttl("k"), Persistent)
          yield* sessions.set("k", "w")
          assert.isTrue(yield* sessions.persist("k"))
          assert.isTrue(yield* sessions.persist("k"))
          sameTtl(yield* sessions.ttl("k"), Persistent)
          yield* TestClock.adjust(50_000)
          assert.strictEqual(yield* sessions.getOrFail("k"), "w")
        })
      )
    })

    describe("touch and getAndTouch", () => {
      test(
        "let a life begin anew: the store's, or the given one",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          const touches = [
            (timeToLive?: Duration.DurationInput) => sessions.touch("k", timeToLive),
            (timeToLive?: Duration.DurationInput) => Effect.map(sessions.getAndTouch("k", timeToLive), Option.isSome)
          ]
          for (const touch of touches) {
            yield* TestClock.setTime(start)
            yield* sessions.remove("k")
            assert.isFalse(yield* touch())
            assert.isFalse(yield* touch(5))
            assert.isFalse(yield* sessions.has("k"))
            yield* sessions.set("k", "v")
            // Three times the time that it has, always in time.
            for (let i = 1; i <= 4; i++) {
              yield* TestClock.adjust(750)
              assert.isTrue(yield* touch())
              sameTtl(yield* sessions.ttl("k"), remaining(start + 750 * i + lifetime, start + 750 * i))
            }
            const now = start + 3000
            assert.isTrue(yield* touch("1 minute"))
            sameTtl(yield* sessions.ttl("k"), remaining(now + 60_000, now))
            // The store's is shorter: none is shortened unless told.
            assert.isTrue(yield* touch())
            sameTtl(yield* sessions.ttl("k"), remaining(now + 60_000, now))
            assert.isTrue(yield* touch(lifetime))
            sameTtl(yield* sessions.ttl("k"), remaining(now + lifetime, now))
            assert.isTrue(yield* touch(Infinity))
            sameTtl(yield* sessions.ttl("k"), Persistent)
            // What does not expire stays as it is unless told.
            assert.isTrue(yield* touch())
            sameTtl(yield* sessions.ttl("k"), Persistent)
            assert.isTrue(yield* touch(5))
            sameTtl(yield* sessions.ttl("k"), remaining(now + 5, now))
            assert.isTrue(yield* touch(0))
            assert.isFalse(yield* sessions.has("k"))
          }
        })
      )

      test(
        "leave entries as they are in a store without a time to live, unless they are given one",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.setMany([["a", "1", { timeToLive: 9 }], ["b", "2"]])
          yield* TestClock.adjust(1)
          assert.isTrue(yield* texts.touch("a"))
          assert.isTrue(yield* texts.touch("b"))
          deepStrictEqual(yield* texts.getAndTouch("a"), Option.some("1"))
          deepStrictEqual(yield* texts.getAndTouch("b"), Option.some("2"))
          sameTtl(yield* texts.ttl("a"), remaining(start + 9, start + 1))
          sameTtl(yield* texts.ttl("b"), Persistent)
          deepStrictEqual(yield* texts.getAndTouch("a", 20), Option.some("1"))
          sameTtl(yield* texts.ttl("a"), remaining(start + 21, start + 1))
          assert.isTrue(yield* texts.touch("b", 30))
          sameTtl(yield* texts.ttl("b"), remaining(start + 31, start + 1))
        })
      )
    })

    describe("bad input", () => {
      const noLife: ReadonlyArray<readonly [input: unknown, shown: string]> = [
        [NaN, "NaN"],
        ["nonsense", "\"nonsense\""],
        ["", "\"\""],
        ["1 fortnight", "\"1 fortnight\""],
        [null, "null"],
        [{}, "[object Object]"],
        [[NaN, 0], "NaN"],
        [new Date(0), "1970"],
        [true, "true"]
      ]
      const noTime: ReadonlyArray<readonly [input: unknown, shown: string]> = [
        [NaN, "NaN"],
        [new Date(NaN), "Invalid Date"],
        ["2030-01-01", "\"2030-01-01\""],
        [null, "null"],
        [5n, "5"]
      ]
      const both = { expiresAt: start + 5, timeToLive: 5 } as never
      const bad: ReadonlyArray<readonly [expiry: TtlStore.Expiry, shown: string]> = [
        ...noLife.map(([timeToLive, shown]) => [{ timeToLive: timeToLive as Duration.DurationInput }, shown] as const),
        ...noTime.map(([expiresAt, shown]) => [{ expiresAt: expiresAt as TtlStore.Time }, shown] as const),
        [both, "only be one"],
        [{ keep: true, timeToLive: 5 } as never, "only be one"],
        [{ expiresAt: start + 5, keep: true } as never, "only be one"]
      ]

      const tellsOf = (methods: ReadonlyArray<Writing>) =>
        Effect.gen(function*() {
          const sessions = yield* Sessions
          const counters = yield* Counters
          yield* Effect.all([sessions.set("there", "1"), counters.set("there", 1)])
          for (const method of methods) {
            // Where there is something, these write nothing.
            const keys = ["getOrInsert", "getOrSet", "insert"].includes(method) ? ["absent"] : ["absent", "there"]
            const keyspace = method === "increment" ? "\"counters\"" : "\"sessions\""
            for (const [expiry, shown] of bad) {
              for (const key of keys) {
                const error = yield* Effect.flip(write(method, sessions, counters, key, expiry))
                isInvalid(error, method === "setMany own" ? "setMany" : method, shown, keyspace, key)
              }
            }
            deepStrictEqual(yield* sessions.toMap(), new Map([["there", "1"]]))
            deepStrictEqual(yield* counters.toMap(), new Map([["there", 1]]))
            for (const store of [sessions, counters]) {
              sameTtl(yield* store.ttl("there"), remaining(start + lifetime, start))
            }
          }
        })

      test(
        "what writes tells which expiry is none, and loses nothing",
        tellsOf([...creating, ...changing].filter((method) => method !== "getOrSet"))
      )
      test("getOrSet tells which expiry is none, and loses nothing", tellsOf(["getOrSet"]))

      test(
        "the methods for expiries tell what is wrong, and change nothing",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          yield* sessions.set("k", "v")
          for (const [input, shown] of noLife) {
            const life = input as Duration.DurationInput
            isInvalid(yield* Effect.flip(sessions.expire("k", life)), "expire", shown)
            isInvalid(yield* Effect.flip(sessions.touch("k", life)), "touch", shown)
            isInvalid(yield* Effect.flip(sessions.getAndTouch("k", life)), "getAndTouch", shown)
            isInvalid(yield* Effect.flip(sessions.extend("k", life)), "extend", shown)
            isInvalid(yield* Effect.flip(sessions.expire("absent", life)), "expire", shown)
          }
          for (const [input, shown] of noTime) {
            isInvalid(yield* Effect.flip(sessions.expireAt("k", input as TtlStore.Time)), "expireAt", shown)
          }
          sameTtl(yield* sessions.ttl("k"), remaining(start + lifetime, start))
          deepStrictEqual(yield* sessions.get("k"), Option.some("v"))
        })
      )

      test(
        "one bad expiry of many keeps all from being written",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.set("c", "0")
          const error = yield* Effect.flip(
            texts.setMany([["a", "1"], ["b", "1", { timeToLive: NaN }], ["c", "1", { keep: true }]])
          )
          isInvalid(error, "setMany", "NaN", "\"b\"")
          deepStrictEqual(yield* texts.toMap(), new Map([["c", "0"]]))
        })
      )

      test(
        "a store with a bad time to live cannot be opened",
        Effect.gen(function*() {
          for (const [input, shown] of noLife) {
            const timeToLive = input as Duration.DurationInput
            isInvalid(
              yield* Effect.flip(TtlStore.make({ keyspace: "bad", timeToLive, value: Codec.text })),
              "open",
              shown,
              "\"bad\""
            )
            isInvalid(
              yield* Effect.flip(Effect.scoped(Layer.build(TtlStore.layer({ keyspace: "bad", timeToLive })))),
              "open",
              shown,
              "\"bad\""
            )
          }
          class Bad extends TtlStore.Tag<Bad>()("test/Bad", {
            keyspace: "bad",
            timeToLive: NaN,
            value: Codec.text
          }) {}
          isInvalid(yield* Effect.flip(Effect.scoped(Layer.build(Bad.layerMemory))), "open", "NaN")
        })
      )

      test(
        "a store whose time to live is zero keeps nothing, and one whose is infinite keeps all",
        Effect.gen(function*() {
          const none = yield* TtlStore.make({ keyspace: "none", timeToLive: 0, value: Codec.text })
          yield* none.set("k", "v")
          assert.isFalse(yield* none.has("k"))
          yield* none.set("k", "v", { timeToLive: 5 })
          assert.isTrue(yield* none.has("k"))
          const all = yield* TtlStore.make({ keyspace: "all", timeToLive: Infinity, value: Codec.text })
          yield* all.set("k", "v")
          sameTtl(yield* all.ttl("k"), Persistent)
        })
      )
    })

    describe("a clock that goes backwards", () => {
      test(
        "makes nothing vanish early",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.set("k", "v", { timeToLive: 100 })
          yield* TestClock.setTime(start - 500)
          deepStrictEqual(yield* texts.get("k"), Option.some("v"))
          sameTtl(yield* texts.ttl("k"), remaining(start + 100, start - 500))
          assert.strictEqual(yield* texts.sweep, 0)
          yield* texts.set("l", "v", { timeToLive: 100 })
          sameTtl(yield* texts.ttl("l"), remaining(start - 400, start - 500))
          assert.isTrue(yield* texts.extend("k", 1))
          yield* TestClock.setTime(start + 100)
          deepStrictEqual(yield* texts.toMap(), new Map([["k", "v"]]))
          yield* TestClock.setTime(start + 101)
          assert.isTrue(yield* texts.isEmpty)
        })
      )

      test(
        "does not bring back what was removed while it was expired",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.setMany(["a", "b", "c", "d"].map((key) => [key, "v"]), { timeToLive: 10 })
          yield* TestClock.setTime(start + 10)
          for (const key of ["a", "b", "c", "d"]) {
            assert.isFalse(yield* texts.expire(key, "1 hour"))
            assert.isFalse(yield* texts.persist(key))
            assert.isFalse(yield* texts.touch(key, "1 hour"))
            assert.isFalse(yield* texts.extend(key, "1 hour"))
          }
          assert.isFalse(yield* texts.remove("a"))
          deepStrictEqual(yield* texts.take("b"), Option.none())
          assert.isTrue(yield* texts.insert("c", "new"))
          yield* TestClock.setTime(start)
          assert.isFalse(yield* texts.has("a"))
          assert.isFalse(yield* texts.has("b"))
          deepStrictEqual(yield* texts.get("c"), Option.some("new"))
          sameTtl(yield* texts.ttl("c"), Persistent)
          // What was not touched has the expiry that it had.
          sameTtl(yield* texts.ttl("d"), remaining(start + 10, start))
        })
      )

      test(
        "works before the epoch as well",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* TestClock.setTime(-1000)
          yield* texts.set("k", "v", { timeToLive: 100 })
          sameTtl(yield* texts.ttl("k"), remaining(-900, -1000))
          yield* TestClock.setTime(-900)
          assert.isFalse(yield* texts.has("k"))
        })
      )
    })

    describe("views and forms", () => {
      test(
        "a prefix view has the time to live of its store and stays inside",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          const view = sessions.prefix("a/")
          yield* view.set("k", "v")
          sameTtl(yield* view.ttl("k"), remaining(start + lifetime, start))
          sameTtl(yield* sessions.ttl("a/k"), remaining(start + lifetime, start))
          sameTtl(yield* sessions.ttl("k"), Missing)
          assert.isFalse(yield* view.expire("a/k", 1))
          assert.isTrue(yield* view.expire("k", 5))
          yield* view.setMany([["k", "w", { keep: true }], ["l", "w", { timeToLive: 5 }]])
          deepStrictEqual(yield* view.prefix("k").getAndTouch(""), Option.some("w"))
          sameTtl(yield* sessions.ttl("a/k"), remaining(start + lifetime, start))
          yield* TestClock.adjust(5)
          deepStrictEqual(yield* view.toMap(), new Map([["k", "w"]]))
          assert.strictEqual(yield* view.getOrSet("m", Effect.succeed("x")), "x")
          assert.strictEqual(yield* sessions.getOrFail("a/m"), "x")
          yield* sessions.set("b", "v", { timeToLive: 0 })
          // Of the whole keyspace.
          assert.strictEqual(yield* view.sweep, 2)
        })
      )

      test(
        "typed keys",
        Effect.gen(function*() {
          const byId = yield* ById
          const date = new Date("2000-01-01")
          yield* byId.setMany([[id("10"), date, { timeToLive: 5 }], [id("11"), date], [id("2"), date]])
          assert.isTrue(yield* byId.expire(id("2"), "1 minute"))
          sameTtl(yield* byId.ttl(id("2")), remaining(start + 60_000, start))
          sameTtl(yield* byId.ttl(id("11")), remaining(start + 1000, start))
          const tens = byId.prefix("1", { key: Schema.NumberFromString })
          sameTtl(yield* tens.ttl(0), remaining(start + 5, start))
          assert.isTrue(yield* tens.touch(0))
          sameTtl(yield* byId.ttl(id("10")), remaining(start + 1000, start))
          deepStrictEqual(yield* tens.getOrSet(2, Effect.succeed(date)), date)
          deepStrictEqual(yield* byId.get(id("12")), Option.some(date))
          const x = "x" as never
          for (const bad of [byId.ttl(x), byId.touch(x), byId.persist(x), byId.getOrSet(x, Effect.succeed(date))]) {
            assert.strictEqual((yield* Effect.flip<unknown, KeyValueStore.Failure, never>(bad))._tag, "InvalidKey")
          }
        })
      )

      test(
        "the plain store, its typed views and what make opens",
        Effect.gen(function*() {
          const plain = yield* TtlStore.TtlStore
          yield* plain.set("t", "text")
          yield* plain.set("b", new Uint8Array([1]), { timeToLive: 5 })
          sameTtl(yield* plain.ttl("t"), remaining(start + 1000, start))
          yield* plain.append("b", new Uint8Array([2]))
          deepStrictEqual(yield* plain.getAndTouch("b"), Option.some(new Uint8Array([1, 2])))
          sameTtl(yield* plain.ttl("b"), remaining(start + 1000, start))
          const numbers = plain.prefix("n/").forSchema(Schema.Number)
          yield* numbers.set("one", 1)
          assert.strictEqual(yield* plain.getOrFail("n/one"), "1")
          sameTtl(yield* plain.ttl("n/one"), remaining(start + 1000, start))
          assert.strictEqual(yield* numbers.increment("one", 1, { timeToLive: 9 }), 2)
          sameTtl(yield* plain.ttl("n/one"), remaining(start + 9, start))
          const numbered = plain.prefix("n/", { key: Schema.NumberFromString })
          yield* numbered.set(7, "seven", { timeToLive: 3 })
          sameTtl(yield* plain.ttl("n/7"), remaining(start + 3, start))
          // The keyspace of the plain store is `ttl`.
          const same = yield* TtlStore.make({ keyspace: "ttl", value: Codec.text })
          assert.strictEqual(yield* same.getOrFail("t"), "text")
        })
      )

      test(
        "each layerMemory is a memory of its own",
        Effect.gen(function*() {
          yield* (yield* TtlStore.TtlStore).set("k", "v")
          yield* (yield* Sessions).set("k", "v")
          yield* Effect.gen(function*() {
            const plain = yield* TtlStore.TtlStore
            assert.isFalse(yield* plain.has("k"))
            yield* plain.set("k", "w")
            sameTtl(yield* plain.ttl("k"), Persistent)
            const sessions = yield* Sessions
            assert.isFalse(yield* sessions.has("k"))
            yield* sessions.set("k", "w")
            sameTtl(yield* sessions.ttl("k"), remaining(start + lifetime, start))
          }).pipe(Effect.provide(Layer.merge(TtlStore.layerMemory, Sessions.layerMemory)))
          assert.strictEqual(yield* (yield* Sessions).getOrFail("k"), "v")
        })
      )

      test(
        "a KeyValueStore of the same keyspace sees the same entries, and they expire for it too",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          const values = yield* KeyValueStore.make({ keyspace: "sessions", value: Codec.text })
          yield* sessions.set("k", "v")
          deepStrictEqual(yield* values.update("k", (value) => `${value}!`), Option.some("v!"))
          sameTtl(yield* sessions.ttl("k"), remaining(start + lifetime, start))
          yield* TestClock.adjust(lifetime)
          assert.isFalse(yield* values.has("k"))
          yield* values.set("k", "w")
          sameTtl(yield* sessions.ttl("k"), Persistent)
        })
      )
    })

    describe("values that no longer fit, in a store that misses them", () => {
      test(
        "are absent to what reads, and replaced by what writes",
        Effect.gen(function*() {
          const plain = yield* TtlStore.TtlStore
          const numbers = yield* TtlStore.make({
            keyspace: "ttl",
            onDecodeFailure: "miss",
            timeToLive: 70,
            value: Schema.Number
          })
          yield* plain.set("k", "no number")
          deepStrictEqual(yield* numbers.getAndTouch("k", 5), Option.none())
          assert.strictEqual(yield* numbers.getOrSet("k", Effect.succeed(1)), 1)
          sameTtl(yield* numbers.ttl("k"), remaining(start + 70, start))
          yield* plain.set("k", "no number", { timeToLive: 5 })
          // There is nothing whose expiry could be kept.
          assert.strictEqual(yield* numbers.increment("k", 2), 2)
          sameTtl(yield* numbers.ttl("k"), remaining(start + 70, start))
          yield* plain.set("k", "no number", { timeToLive: 5 })
          assert.isTrue(yield* numbers.insert("k", 3, { keep: true }))
          sameTtl(yield* numbers.ttl("k"), remaining(start + 70, start))
        })
      )
    })

    describe("getOrSet", () => {
      test(
        "gives what is there, or computes it and keeps it",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          const runs = yield* Ref.make(0)
          const compute = Effect.as(Ref.update(runs, (n) => n + 1), "v")
          assert.strictEqual(yield* sessions.getOrSet("k", compute), "v")
          assert.strictEqual(yield* sessions.getOrSet("k", compute), "v")
          assert.strictEqual(yield* runs, 1)
          deepStrictEqual(yield* sessions.get("k"), Option.some("v"))
          sameTtl(yield* sessions.ttl("k"), remaining(start + lifetime, start))
          // A hit changes nothing.
          assert.strictEqual(yield* sessions.getOrSet("k", Effect.succeed("w"), { timeToLive: 5 }), "v")
          sameTtl(yield* sessions.ttl("k"), remaining(start + lifetime, start))
          yield* TestClock.adjust(lifetime)
          assert.strictEqual(yield* sessions.getOrSet("k", compute, { timeToLive: 5 }), "v")
          assert.strictEqual(yield* runs, 2)
          sameTtl(yield* sessions.ttl("k"), remaining(start + lifetime + 5, start + lifetime))
          assert.strictEqual(yield* sessions.getOrSet("zero", Effect.succeed("w"), { timeToLive: 0 }), "w")
          assert.isFalse(yield* sessions.has("zero"))
        })
      )

      test(
        "a life begins when the value is there, not when it was asked for",
        Effect.gen(function*() {
          const sessions = yield* Sessions
          const fiber = yield* Effect.fork(sessions.getOrSet("k", Effect.as(Effect.sleep(300), "v")))
          yield* engine.turns
          yield* TestClock.adjust(300)
          yield* Fiber.join(fiber)
          sameTtl(yield* sessions.ttl("k"), remaining(start + 300 + lifetime, start + 300))
        })
      )

      test(
        "of a thousand callers one computes",
        Effect.gen(function*() {
          const texts = yield* Texts
          const runs = yield* Ref.make(0)
          const gate = yield* Deferred.make<void>()
          const callers = yield* Effect.forEach(
            Array.from({ length: 1000 }, (_, i) => i),
            (i) =>
              Effect.fork(
                texts.getOrSet("k", Effect.zipRight(Ref.update(runs, (n) => n + 1), Effect.as(gate, `${i}`)))
              )
          )
          yield* engine.turns
          yield* Deferred.succeed(gate, undefined)
          const values = yield* Effect.forEach(callers, (caller) => Fiber.join(caller))
          assert.strictEqual(new Set(values).size, 1)
          assert.strictEqual(yield* runs, 1)
          deepStrictEqual(yield* texts.get("k"), Option.some(values[0]))
        })
      )

      test(
        "one computes however the callers take turns",
        Effect.gen(function*() {
          const texts = yield* Texts
          for (let ops = 12; ops <= 60; ops += engine === postgres ? 8 : 1) {
            const runs = yield* Ref.make(0)
            const gate = yield* Deferred.make<void>()
            const compute = Effect.zipRight(Ref.update(runs, (n) => n + 1), Effect.as(gate, "v"))
            const callers = yield* Effect.forEach(
              Array.from({ length: 4 }),
              () => Effect.fork(Effect.withMaxOpsBeforeYield(texts.getOrSet(`k${ops}`, compute), ops))
            )
            yield* engine.turns
            yield* Deferred.succeed(gate, undefined)
            yield* Effect.forEach(callers, (caller) => Fiber.join(caller))
            assert.strictEqual(yield* runs, 1, `with a yield after ${ops} operations`)
          }
        })
      )

      test(
        "each key flies for itself",
        Effect.gen(function*() {
          const texts = yield* Texts
          const values = yield* Effect.forEach(
            ["a", "b", "a", "c"],
            (key) => texts.getOrSet(key, Effect.as(Effect.yieldNow(), key)),
            { concurrency: "unbounded" }
          )
          deepStrictEqual(values, ["a", "b", "a", "c"])
          assert.strictEqual(yield* texts.size(), 3)
        })
      )

      test(
        "the failure and the defect of the one reach all, and nothing is kept",
        Effect.gen(function*() {
          const texts = yield* Texts
          const outcomes: ReadonlyArray<Effect.Effect<never, string>> = [Effect.fail("no"), Effect.die("boom")]
          for (const outcome of outcomes) {
            const runs = yield* Ref.make(0)
            const gate = yield* Deferred.make<void>()
            const compute = Effect.zipRight(Ref.update(runs, (n) => n + 1), Effect.zipRight(gate, outcome))
            const callers = yield* Effect.forEach(
              Array.from({ length: 20 }),
              () => Effect.fork(Effect.exit(texts.getOrSet("k", compute)))
            )
            yield* engine.turns
            yield* Deferred.succeed(gate, undefined)
            const exits = yield* Effect.forEach(callers, (caller) => Fiber.join(caller))
            const expected = yield* Effect.exit(outcome)
            for (const exit of exits) deepStrictEqual(exit, expected)
            assert.strictEqual(yield* runs, 1)
            assert.isFalse(yield* texts.has("k"))
          }
          // It is not remembered.
          assert.strictEqual(yield* texts.getOrSet("k", Effect.succeed("v")), "v")
        })
      )

      test(
        "a value that does not fit fails for all, and nothing is kept",
        Effect.gen(function*() {
          const counters = yield* Counters
          const exits = yield* Effect.forEach(
            Array.from({ length: 3 }),
            () => Effect.flip(counters.getOrSet("k", Effect.succeed("x" as never))),
            { concurrency: "unbounded" }
          )
          deepStrictEqual(exits.map(({ _tag }) => _tag), ["CodecError", "CodecError", "CodecError"])
          assert.isFalse(yield* counters.has("k"))
        })
      )

      test(
        "goes on for the others when the first is interrupted",
        Effect.gen(function*() {
          const texts = yield* Texts
          const gate = yield* Deferred.make<void>()
          const runs = yield* Ref.make(0)
          const compute = Effect.zipRight(Ref.update(runs, (n) => n + 1), Effect.as(gate, "v"))
          const first = yield* Effect.fork(texts.getOrSet("k", compute))
          yield* engine.turns
          const others = yield* Effect.forEach([1, 2, 3], () => Effect.fork(texts.getOrSet("k", compute)))
          yield* engine.turns
          assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(first)))
          const [second, ...rest] = others
          yield* Fiber.interrupt(second!)
          yield* Deferred.succeed(gate, undefined)
          for (const other of rest) assert.strictEqual(yield* Fiber.join(other), "v")
          assert.strictEqual(yield* runs, 1)
        })
      )

      test(
        "is interrupted when nobody waits any more, and begins anew for the next",
        Effect.gen(function*() {
          const texts = yield* Texts
          const interrupted = yield* Ref.make(0)
          const never = Effect.onInterrupt(Effect.never, () => Ref.update(interrupted, (n) => n + 1))
          const callers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(texts.getOrSet("k", never)))
          yield* engine.turns
          for (const caller of callers) {
            assert.strictEqual(yield* interrupted, 0)
            yield* Fiber.interrupt(caller)
          }
          assert.strictEqual(yield* interrupted, 1)
          assert.isFalse(yield* texts.has("k"))
          assert.strictEqual(yield* texts.getOrSet("k", Effect.succeed("v")), "v")
        })
      )

      test(
        "whoever comes while it is being interrupted does not share its end",
        Effect.gen(function*() {
          const texts = yield* Texts
          const slow = yield* Deferred.make<void>()
          const stubborn = Effect.onInterrupt(Effect.never, () => Deferred.await(slow))
          const first = yield* Effect.fork(texts.getOrSet("k", stubborn))
          yield* engine.turns
          const interrupting = yield* Effect.fork(Fiber.interrupt(first))
          yield* engine.turns
          const second = yield* Effect.fork(texts.getOrSet("k", Effect.succeed("v")))
          yield* engine.turns
          yield* Deferred.succeed(slow, undefined)
          assert.strictEqual(yield* Fiber.join(second), "v")
          yield* Fiber.join(interrupting)
          deepStrictEqual(yield* texts.get("k"), Option.some("v"))
        })
      )

      test(
        "views share the flights of their store",
        Effect.gen(function*() {
          const texts = yield* Texts
          const runs = yield* Ref.make(0)
          const gate = yield* Deferred.make<void>()
          const compute = Effect.zipRight(Ref.update(runs, (n) => n + 1), Effect.as(gate, "v"))
          const fibers = yield* Effect.forEach([
            texts.getOrSet("a/1", compute),
            texts.prefix("a/").getOrSet("1", compute),
            texts.prefix("a").prefix("/").getOrSet("1", compute),
            texts.prefix("a/", { key: Schema.NumberFromString }).getOrSet(1, compute)
          ], Effect.fork)
          yield* engine.turns
          yield* Deferred.succeed(gate, undefined)
          for (const fiber of fibers) assert.strictEqual(yield* Fiber.join(fiber), "v")
          assert.strictEqual(yield* runs, 1)
        })
      )

      test(
        "views of other types do not",
        Effect.gen(function*() {
          const plain = yield* TtlStore.TtlStore
          const gate = yield* Deferred.make<void>()
          const later = yield* Deferred.make<void>()
          const numbers = plain.forSchema(Schema.Number)
          const number = yield* Effect.fork(numbers.getOrSet("k", Effect.as(gate, 1)))
          yield* engine.turns
          const texts = yield* Effect.fork(plain.forSchema(Schema.String).getOrSet("k", Effect.as(later, "v")))
          const raw = yield* Effect.fork(plain.getOrSet("k", Effect.as(later, new Uint8Array([1]))))
          const prefixed = yield* Effect.fork(numbers.prefix("").getOrSet("k", Effect.succeed(2)))
          yield* engine.turns
          yield* Deferred.succeed(gate, undefined)
          assert.strictEqual(yield* Fiber.join(number), 1)
          assert.strictEqual(yield* Fiber.join(prefixed), 1)
          yield* Deferred.succeed(later, undefined)
          // Those computed for themselves, and found what the first had set meanwhile.
          assert.instanceOf(yield* Effect.flip(Fiber.join(texts)), Codec.CodecError)
          assert.strictEqual(yield* Fiber.join(raw), "1")
        })
      )

      test(
        "in a transaction each computes for itself, and it is rolled back with the rest",
        Effect.gen(function*() {
          const texts = yield* Texts
          const gate = yield* Deferred.make<void>()
          // A flight is under way outside.
          const outside = yield* Effect.fork(texts.getOrSet("k", Effect.as(gate, "outside")))
          yield* engine.turns
          const error = yield* Effect.flip(texts.transaction(Effect.gen(function*() {
            assert.strictEqual(yield* texts.getOrSet("k", Effect.succeed("inside")), "inside")
            deepStrictEqual(yield* texts.get("k"), Option.some("inside"))
            assert.strictEqual(yield* texts.getOrSet("k", Effect.die("a hit")), "inside")
            return yield* Effect.fail("no")
          })))
          assert.strictEqual(error, "no")
          assert.isFalse(yield* texts.has("k"))
          yield* Deferred.succeed(gate, undefined)
          assert.strictEqual(yield* Fiber.join(outside), "outside")
          deepStrictEqual(yield* texts.get("k"), Option.some("outside"))
        })
      )

      test(
        "a fiber in a transaction and one outside do not wait for each other in a circle",
        Effect.gen(function*() {
          const texts = yield* Texts
          const gate = yield* Deferred.make<void>()
          const began = yield* Deferred.make<void>()
          const inside = yield* Effect.fork(texts.transaction(
            texts.getOrSet("k", Effect.zipRight(Deferred.succeed(began, undefined), Effect.as(gate, "inside"))),
            { retry: true }
          ))
          yield* Deferred.await(began)
          const outside = yield* Effect.forEach(
            [1, 2],
            () => Effect.fork(texts.getOrSet("k", Effect.succeed("outside")))
          )
          yield* engine.turns
          yield* Deferred.succeed(gate, undefined)
          const value = yield* Fiber.join(inside)
          for (const fiber of outside) assert.strictEqual(yield* Fiber.join(fiber), value)
          deepStrictEqual(yield* texts.get("k"), Option.some(value))
        })
      )

      test(
        "a computation that asks for itself fails, through other keys and in a transaction, too",
        Effect.gen(function*() {
          const texts = yield* Texts
          const storage = yield* Storage.Storage
          const busy = (error: unknown) =>
            assert.strictEqual(error instanceof StorageError.StorageError && error.reason, "Busy")
          const self: Effect.Effect<string, KeyValueStore.Failure> = Effect.suspend(() => texts.getOrSet("self", self))
          busy(yield* Effect.flip(self))
          busy(yield* Effect.flip(storage.transaction(self)))
          busy(yield* Effect.flip(texts.getOrSet("self", storage.transaction(self))))
          const a: Effect.Effect<string, KeyValueStore.Failure> = Effect.suspend(() =>
            texts.getOrSet("a", Effect.zipRight(engine.turns, b))
          )
          const b: Effect.Effect<string, KeyValueStore.Failure> = Effect.suspend(() =>
            texts.getOrSet("b", Effect.zipRight(engine.turns, a))
          )
          for (const error of yield* Effect.all([Effect.flip(a), Effect.flip(b)], { concurrency: 2 })) busy(error)
          // Not a circle: each asks for the next.
          const down = (n: number): Effect.Effect<string, KeyValueStore.Failure> =>
            texts.getOrSet(`${n}`, n === 0 ? Effect.succeed("end") : Effect.suspend(() => down(n - 1)))
          assert.strictEqual(yield* down(50), "end")
          assert.strictEqual(yield* storage.transaction(texts.getOrSet("new", down(50))), "end")
        })
      )

      test(
        "what JavaScript gives in place of an expiry or a condition is refused",
        Effect.gen(function*() {
          const texts = yield* Texts
          const values: ReadonlyArray<unknown> = [60_000, "10 minutes", new Date(), {}, { ttl: 1 }, { keep: 1 }, true]
          for (const value of [...values, { timeToLive: Object.create(null) }]) {
            const error = yield* Effect.flip(texts.set("k", "v", value as TtlStore.Expiry))
            assert.strictEqual(error instanceof StorageError.StorageError && error.reason, "InvalidValue")
          }
          assert.isFalse(yield* texts.has("k"))
          yield* texts.set("k", "v")
          const error = yield* Effect.flip(texts.expire("k", 1, { onlyIf: "Later" as TtlStore.Condition }))
          assert.include(error.message, "\"Later\" is no condition")
          sameTtl(yield* texts.ttl("k"), Persistent)
        })
      )

      test(
        "a computation that uses the store does not wait for itself",
        Effect.gen(function*() {
          const texts = yield* Texts
          const compute = Effect.zipWith(
            texts.getOrSet("a", Effect.succeed("1")),
            texts.transaction(texts.getOrSet("b", Effect.succeed("2"))),
            (a, b) => a + b
          )
          const values = yield* Effect.all([texts.getOrSet("c", compute), texts.getOrSet("c", compute)], {
            concurrency: "unbounded"
          })
          deepStrictEqual(values, ["12", "12"])
          deepStrictEqual(yield* texts.toMap(), new Map([["a", "1"], ["b", "2"], ["c", "12"]]))
        })
      )
    })

    describe("sweep", () => {
      test(
        "removes what is expired of its keyspace and tells how much that was",
        Effect.gen(function*() {
          const texts = yield* Texts
          const sessions = yield* Sessions
          assert.strictEqual(yield* texts.sweep, 0)
          yield* texts.setMany(Array.from({ length: 1000 }, (_, i) => [`k${i}`, "v"]), { timeToLive: 5 })
          yield* texts.setMany([["stays", "v"], ["later", "v", { timeToLive: 6 }]])
          yield* sessions.set("other", "v", { timeToLive: 5 })
          assert.strictEqual(yield* texts.sweep, 0)
          yield* TestClock.adjust(5)
          assert.strictEqual(yield* texts.sweep, 1000)
          assert.strictEqual(yield* texts.sweep, 0)
          deepStrictEqual(yield* collect(texts.keys()), ["later", "stays"])
          assert.strictEqual(yield* sessions.sweep, 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* texts.sweep, 1)
          deepStrictEqual(yield* collect(texts.keys()), ["stays"])
        })
      )

      test(
        "frees the room for good: there is nothing left to remove",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.setMany(Array.from({ length: 30 }, (_, i) => [`k${i}`, "v"]), { timeToLive: 0 })
          assert.strictEqual(yield* texts.sweep, 30)
          const keyspace = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("texts"))
          assert.strictEqual((yield* keyspace.removeExpired({ limit: 100 })).removed, 0)
        })
      )

      test(
        "does not remove what was given more time in time",
        Effect.gen(function*() {
          const texts = yield* Texts
          yield* texts.setMany([["a", "1"], ["b", "2"], ["c", "3"], ["d", "4"]], { timeToLive: 5 })
          yield* Effect.all([
            texts.persist("a"),
            texts.expire("b", 100),
            texts.set("c", "5"),
            texts.rename("d", "e")
          ])
          yield* TestClock.adjust(5)
          assert.strictEqual(yield* texts.sweep, 1)
          deepStrictEqual(yield* collect(texts.keys()), ["a", "b", "c"])
        })
      )
    })
  })
