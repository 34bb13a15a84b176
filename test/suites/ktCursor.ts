/** Cursors of KtCompat: rows U68 to U74, and what is known of the original's. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Chunk,
  DateTime,
  Duration,
  Effect,
  FastCheck as fc,
  Layer,
  Option,
  Schema,
  type Scope,
  Stream,
  TestClock,
  TestContext
} from "effect"
import { KtCompat, KtError, KtTransport, type Storage } from "effect-kv"
import { describeOn, type Engine, memory, postgres } from "../engines.js"

type Kt = KtCompat.KtCompat<string, string>
type Cursor = KtCompat.Cursor<string, string>

const { none, some } = Option

/** Two databases with an order, and one without. */
const databases = (engine: Engine) =>
  Layer.provideMerge(KtTransport.layer({ databases: ["kt", "other", "hash.kch"] }), engine.layer)

const hash = 2

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const ktError = <A, E, R>(self: Effect.Effect<A, E, R>, reason: KtError.KtErrorReason) =>
  Effect.map(Effect.flip(self), (error) => {
    assert(error instanceof KtError.KtError, String(error))
    assert.strictEqual(error.reason, reason)
  })

const records = (...keys: ReadonlyArray<string>) => keys.map((key) => [key, `value of ${key}`] as const)
const record = (key: string) => [key, `value of ${key}`] as const

/** What all that is about the record under it says when there is none. */
const isNowhere = (cursor: Cursor): Effect.Effect<void, KtCompat.Failure> =>
  Effect.gen(function*() {
    assert.isFalse(yield* cursor.isValid)
    deepStrictEqual(yield* cursor.key(), none())
    deepStrictEqual(yield* cursor.value(), none())
    deepStrictEqual(yield* cursor.get(), none())
    deepStrictEqual(yield* cursor.get({ step: true }), none())
    assert.isFalse(yield* cursor.setValue("nowhere"))
    assert.isFalse(yield* cursor.remove)
    deepStrictEqual(yield* cursor.seize, none())
    deepStrictEqual(yield* collect(cursor.entries), [])
    assert.isFalse(yield* cursor.step)
  })

const isAt = (cursor: Cursor, key: string): Effect.Effect<void, KtCompat.Failure> =>
  Effect.gen(function*() {
    deepStrictEqual(yield* cursor.key(), some(key))
    deepStrictEqual(yield* cursor.get(), some(record(key)))
    assert.isTrue(yield* cursor.isValid)
  })

export const suite = (engine: Engine) =>
  describeOn(engine, "a cursor of KtCompat", () => {
    const test = (
      title: string,
      body: (
        kt: Kt,
        cursor: Cursor
      ) => Effect.Effect<void, unknown, Scope.Scope | Storage.Storage | KtTransport.KtTransport>
    ) =>
      it.scoped(title, () =>
        Effect.gen(function*() {
          const kt = yield* KtCompat.make()
          yield* body(kt, yield* kt.cursor())
        }).pipe(Effect.provide(databases(engine))))
    /** The same with the records `a` to `d`. */
    const testAbcd = (title: string, body: Parameters<typeof test>[1]) =>
      test(title, (kt, cursor) => Effect.zipRight(kt.setBulk(records("a", "b", "c", "d")), body(kt, cursor)))

    describe("has no position", () => {
      testAbcd("before it jumps", (_, cursor) =>
        Effect.gen(function*() {
          yield* isNowhere(cursor)
          assert.isFalse(yield* cursor.stepBack)
          assert.isTrue(yield* cursor.jump())
          yield* isAt(cursor, "a")
        }))

      test("in an empty database", (kt, cursor) =>
        Effect.gen(function*() {
          assert.isFalse(yield* cursor.jump())
          assert.isFalse(yield* cursor.jumpBack())
          assert.isFalse(yield* cursor.jump("a"))
          yield* kt.set("a", "value of a")
          yield* isNowhere(cursor)
          assert.isTrue(yield* cursor.jumpBack())
          yield* isAt(cursor, "a")
        }))

      testAbcd("where a jump found nothing, whatever it had before", (_, cursor) =>
        Effect.gen(function*() {
          assert.isTrue(yield* cursor.jump())
          assert.isFalse(yield* cursor.jump("e"))
          yield* isNowhere(cursor)
          assert.isTrue(yield* cursor.jump())
          assert.isFalse(yield* cursor.jumpBack("A"))
          yield* isNowhere(cursor)
        }))

      testAbcd("past an end, also when there are more records later", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("d")
          assert.isFalse(yield* cursor.step)
          yield* kt.set("e", "value of e")
          assert.isFalse(yield* cursor.stepBack)
          yield* isNowhere(cursor)
          yield* cursor.jump("a")
          assert.isFalse(yield* cursor.stepBack)
          yield* kt.set("0", "value of 0")
          assert.isFalse(yield* cursor.step)
          yield* isNowhere(cursor)
        }))
    })

    describe("jumps", () => {
      testAbcd("to the first record, or to the first whose key is not less", (_, cursor) =>
        Effect.gen(function*() {
          for (const [key, found] of [[undefined, "a"], ["", "a"], ["b", "b"], ["b\0", "c"], ["c", "c"]] as const) {
            assert.isTrue(yield* cursor.jump(key))
            yield* isAt(cursor, found)
          }
        }))

      testAbcd("back to the last record, or to the last whose key is not greater", (_, cursor) =>
        Effect.gen(function*() {
          for (const [key, found] of [[undefined, "d"], ["z", "d"], ["c", "c"], ["bz", "b"], ["a", "a"]] as const) {
            assert.isTrue(yield* cursor.jumpBack(key))
            yield* isAt(cursor, found)
          }
          assert.isFalse(yield* cursor.jumpBack(""))
        }))

      test("to an empty key and an empty value like to any", (kt, cursor) =>
        Effect.gen(function*() {
          yield* kt.setBulk({ "": "", a: "1" })
          assert.isTrue(yield* cursor.jump())
          deepStrictEqual(yield* cursor.get(), some(["", ""] as const))
          assert.isTrue(yield* cursor.step)
          assert.isTrue(yield* cursor.stepBack)
          deepStrictEqual(yield* cursor.seize, some(["", ""] as const))
          deepStrictEqual(yield* cursor.key(), none())
          assert.isFalse(yield* cursor.jumpBack(""))
        }))

      it.scoped("in the order of bytes", () =>
        Effect.gen(function*() {
          const kt = yield* KtCompat.makeBytes({ value: KtCompat.none })
          const keys = ["", "00", "0000", "7f", "80", "80ff", "c3a9", "ff", "ff00", "ffff"]
          const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
          yield* kt.setBulk([...keys].reverse().map((key) => [bytes(key), bytes("ff00")] as const))
          const cursor = yield* kt.cursor()
          const seen: Array<string> = []
          const next = Effect.map(cursor.key({ step: true }), Option.map((key) => Buffer.from(key).toString("hex")))
          yield* cursor.jump()
          for (let key = yield* next; Option.isSome(key); key = yield* next) seen.push(key.value)
          deepStrictEqual(seen, keys)
          yield* cursor.jumpBack()
          for (let key = yield* next; Option.isSome(key); key = yield* next) seen.push(key.value)
          deepStrictEqual(seen.slice(keys.length), [...keys].reverse())
          yield* cursor.jumpBack(bytes("fe"))
          deepStrictEqual(yield* cursor.key(), some(bytes("c3a9")))
        }).pipe(Effect.provide(databases(engine))))

      test("over text in the order of its bytes, not of its code units", (kt, cursor) =>
        Effect.gen(function*() {
          const keys = ["Z", "a", "é", "\u{FFFD}", "\u{1F600}"]
          yield* kt.setBulk(records(...[...keys].reverse()))
          yield* cursor.jump()
          deepStrictEqual((yield* collect(cursor.entries)).map(([key]) => key), keys)
        }))

      testAbcd("again each time that the effect is run", (kt, cursor) =>
        Effect.gen(function*() {
          const [first, last] = [cursor.jump(), cursor.jumpBack()]
          assert.isTrue(yield* first)
          assert.isTrue(yield* last)
          assert.isTrue(yield* first)
          yield* isAt(cursor, "a")
          yield* kt.removeBulk(["a", "d"])
          assert.isTrue(yield* first)
          yield* isAt(cursor, "b")
          assert.isTrue(yield* last)
          yield* isAt(cursor, "c")
          yield* kt.clear()
          assert.isFalse(yield* first)
          assert.isFalse(yield* last)
        }))

      testAbcd("not with a key that cannot be one, and then is where it was", (_, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jumpBack("c")
          const error = yield* Effect.flip(cursor.jump("k".repeat(2049)))
          assert.strictEqual(error._tag, "InvalidKey")
          deepStrictEqual(yield* cursor.key({ step: true }), some("c"))
          yield* isAt(cursor, "b")
        }))
    })

    describe("moves", () => {
      testAbcd("by step and stepBack, whose direction it keeps", (_, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump()
          assert.isTrue(yield* cursor.step)
          yield* isAt(cursor, "b")
          assert.isTrue(yield* cursor.step)
          assert.isTrue(yield* cursor.stepBack)
          yield* isAt(cursor, "b")
          // Backward now.
          deepStrictEqual(yield* cursor.get({ step: true }), some(record("b")))
          yield* isAt(cursor, "a")
          assert.isTrue(yield* cursor.step)
          // And forward.
          deepStrictEqual(yield* cursor.get({ step: true }), some(record("b")))
          yield* isAt(cursor, "c")
        }))

      testAbcd("forward after jump, also after it went back", (_, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jumpBack()
          yield* cursor.jump("b")
          yield* cursor.key({ step: true })
          yield* isAt(cursor, "c")
        }))

      const reads: Record<string, (cursor: Cursor, step: boolean) => Effect.Effect<unknown, KtCompat.Failure>> = {
        get: (cursor, step) => cursor.get({ step }),
        key: (cursor, step) => cursor.key({ step }),
        setValue: (cursor, step) => cursor.setValue("written", { step }),
        value: (cursor, step) => cursor.value({ step })
      }
      const answers: Record<string, (key: string) => unknown> = {
        get: (key) => some(record(key)),
        key: (key) => some(key),
        setValue: () => true,
        value: (key) => some(`value of ${key}`)
      }

      for (const [name, read] of Object.entries(reads)) {
        const answer = (key: string) => answers[name]?.(key)
        testAbcd(`by ${name} only with step, in its direction, and off the end, still answering`, (_, cursor) =>
          Effect.gen(function*() {
            yield* cursor.jump("c")
            deepStrictEqual(yield* read(cursor, false), answer("c"))
            deepStrictEqual(yield* cursor.key(), some("c"))
            // Where it wrote, the answer is another.
            if (name !== "setValue") {
              deepStrictEqual(yield* read(cursor, true), answer("c"))
            } else assert.isTrue(yield* cursor.step)
            deepStrictEqual(yield* read(cursor, true), answer("d"))
            yield* isNowhere(cursor)

            yield* cursor.jumpBack("b")
            deepStrictEqual(yield* read(cursor, false), answer("b"))
            deepStrictEqual(yield* cursor.key(), some("b"))
            deepStrictEqual(yield* read(cursor, true), answer("b"))
            deepStrictEqual(yield* read(cursor, true), answer("a"))
            yield* isNowhere(cursor)
          }))
      }

      testAbcd("onto what has come ahead of it meanwhile", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("b")
          yield* kt.set("bb", "value of bb")
          assert.isTrue(yield* cursor.step)
          yield* isAt(cursor, "bb")
          yield* cursor.jumpBack("d")
          yield* kt.set("cc", "value of cc")
          yield* cursor.key({ step: true })
          yield* isAt(cursor, "cc")
        }))
    })

    describe("removes", () => {
      for (const how of ["remove", "seize"] as const) {
        const removed = (cursor: Cursor, key: string) =>
          Effect.gen(function*() {
            if (how === "remove") {
              assert.isTrue(yield* cursor.remove)
            } else deepStrictEqual(yield* cursor.seize, some(record(key)))
          })

        testAbcd(`by ${how}, and stands on the next, or after the last nowhere`, (kt, cursor) =>
          Effect.gen(function*() {
            yield* cursor.jump("b")
            yield* removed(cursor, "b")
            yield* isAt(cursor, "c")
            assert.isFalse(yield* kt.exists("b"))
            yield* removed(cursor, "c")
            yield* removed(cursor, "d")
            yield* isNowhere(cursor)
            assert.isFalse(yield* cursor.stepBack)
            deepStrictEqual(yield* kt.keysNonlazy(), ["a"])
          }))

        testAbcd(`by ${how} backward, and stands on the previous, or before the first nowhere`, (kt, cursor) =>
          Effect.gen(function*() {
            yield* cursor.jumpBack("c")
            yield* removed(cursor, "c")
            yield* isAt(cursor, "b")
            yield* removed(cursor, "b")
            yield* removed(cursor, "a")
            yield* isNowhere(cursor)
            assert.isFalse(yield* cursor.stepBack)
            deepStrictEqual(yield* kt.keysNonlazy(), ["d"])
          }))

        testAbcd(`by ${how} in the direction of its last step`, (_, cursor) =>
          Effect.gen(function*() {
            yield* cursor.jump("d")
            yield* cursor.stepBack
            yield* removed(cursor, "c")
            yield* isAt(cursor, "b")
            yield* cursor.step
            yield* removed(cursor, "d")
            yield* isNowhere(cursor)
          }))
      }

      testAbcd("until there is nothing left", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump()
          const keys: Array<string> = []
          for (let got = yield* cursor.seize; Option.isSome(got); got = yield* cursor.seize) {
            keys.push(got.value[0])
          }
          deepStrictEqual(keys, ["a", "b", "c", "d"])
          assert.strictEqual(yield* kt.count(), 0)
        }))

      test("to one of many who seize, and nothing is left", (kt) =>
        Effect.gen(function*() {
          const keys = Array.from({ length: 60 }, (_, i) =>
            `key ${100 + i}`)
          yield* kt.setBulk(records(...keys))
          const seizing = Effect.scoped(Effect.gen(function*() {
            const cursor = yield* kt.cursor()
            yield* cursor.jump()
            const got: Array<readonly [string, string]> = []
            for (let next = yield* cursor.seize; Option.isSome(next); next = yield* cursor.seize) {
              got.push(next.value)
            }
            return got
          }))
          const all = yield* Effect.replicateEffect(seizing, 4, { concurrency: "unbounded" })
          deepStrictEqual(
            all.flat().map(([key]) =>
              key
            ).sort(),
            keys
          )
          deepStrictEqual(
            all.flat().sort(([a], [b]) =>
              a < b ? -1 : 1
            ),
            records(...keys)
          )
          assert.strictEqual(yield* kt.count(), 0)
        }))

      testAbcd("to one of many fibers on one cursor", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump()
          const got = yield* Effect.replicateEffect(cursor.seize, 9, { concurrency: "unbounded" })
          const keys = got.flatMap(Option.toArray).map(([key]) => key)
          assert.strictEqual(new Set(keys).size, keys.length)
          deepStrictEqual([...keys, ...yield* kt.keysNonlazy()].sort(), ["a", "b", "c", "d"])
        }))

      it.scoped("not what cannot be decoded, when it seizes", () =>
        Effect.gen(function*() {
          const text = yield* KtCompat.make()
          const kt = yield* KtCompat.make({ value: Schema.Number })
          yield* text.setBulk({ a: "1", b: "no number", c: "3" }, { expireTime: "1 hour" })
          const cursor = yield* kt.cursor()
          yield* cursor.jump("b")
          assert.strictEqual((yield* Effect.flip(cursor.get()))._tag, "CodecError")
          assert.strictEqual((yield* Effect.flip(cursor.value()))._tag, "CodecError")
          deepStrictEqual(yield* cursor.key(), some("b"))
          assert.strictEqual((yield* Effect.flip(cursor.seize))._tag, "CodecError")
          deepStrictEqual(yield* text.get("b"), some("no number"))
          deepStrictEqual(yield* text.expires("b"), yield* text.expires("a"))
          // What is only removed is not read.
          yield* cursor.jump("b")
          assert.isTrue(yield* cursor.remove)
          deepStrictEqual(yield* cursor.get(), some(["c", 3] as const))
          deepStrictEqual(yield* text.keysNonlazy(), ["a", "c"])
        }).pipe(Effect.provide(databases(engine))))
    })

    describe("whose record was removed by somebody else", () => {
      testAbcd("is on the next greater one, also backward", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("b")
          yield* kt.remove("b")
          yield* isAt(cursor, "c")
          yield* cursor.jumpBack("c")
          yield* kt.remove("c")
          yield* isAt(cursor, "d")
          // Backward still.
          yield* cursor.key({ step: true })
          yield* isAt(cursor, "a")
        }))

      testAbcd("is nowhere if it was the last, also backward", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("d")
          yield* kt.remove("d")
          deepStrictEqual(yield* cursor.get(), none())
          yield* kt.set("e", "value of e")
          yield* isNowhere(cursor)
          yield* cursor.jumpBack()
          yield* kt.remove("e")
          deepStrictEqual(yield* cursor.get({ step: true }), none())
          yield* isNowhere(cursor)
        }))

      testAbcd("steps to one further than the next greater", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("b")
          yield* kt.remove("b")
          assert.isTrue(yield* cursor.step)
          yield* isAt(cursor, "d")
          yield* cursor.jump("c")
          yield* kt.remove("c")
          assert.isTrue(yield* cursor.key({ step: true }).pipe(Effect.map(Option.contains("d"))))
          yield* isNowhere(cursor)
        }))

      testAbcd("steps back to the next smaller, also from the end", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("c")
          yield* kt.remove("c")
          assert.isTrue(yield* cursor.stepBack)
          yield* isAt(cursor, "b")
          yield* cursor.jumpBack()
          yield* kt.remove("d")
          assert.isTrue(yield* cursor.stepBack)
          yield* isAt(cursor, "b")
          yield* cursor.jump("a")
          yield* kt.remove("a")
          assert.isFalse(yield* cursor.stepBack)
          yield* isNowhere(cursor)
        }))

      testAbcd("writes, seizes and removes the next greater", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("a")
          yield* kt.remove("a")
          assert.isTrue(yield* cursor.setValue("written"))
          deepStrictEqual(yield* kt.get("b"), some("written"))
          yield* kt.remove("b")
          deepStrictEqual(yield* cursor.seize, some(record("c")))
          yield* isAt(cursor, "d")
          yield* cursor.jumpBack("d")
          yield* kt.set("e", "value of e")
          yield* kt.remove("d")
          assert.isTrue(yield* cursor.remove)
          deepStrictEqual(yield* kt.keysNonlazy(), [])
        }))

      testAbcd("is on it again if it comes again", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("b")
          yield* kt.remove("b")
          yield* kt.set("b", "value of b")
          yield* isAt(cursor, "b")
        }))
    })

    describe("among several", () => {
      testAbcd("stays where it is when others move", (kt, cursor) =>
        Effect.gen(function*() {
          const other = yield* kt.cursor()
          yield* cursor.jump("b")
          yield* other.jumpBack("c")
          yield* other.key({ step: true })
          yield* other.stepBack
          yield* isAt(cursor, "b")
          yield* isAt(other, "a")
          yield* cursor.key({ step: true })
          yield* isAt(cursor, "c")
        }))

      testAbcd("moves on with all that are on a record when one removes it", (kt, first) =>
        Effect.gen(function*() {
          const second = yield* kt.cursor()
          const back = yield* kt.cursor()
          yield* first.jump("b")
          yield* second.jump("b")
          yield* back.jumpBack("b")
          deepStrictEqual(yield* first.seize, some(record("b")))
          for (const cursor of [first, second, back]) yield* isAt(cursor, "c")
          assert.isTrue(yield* back.remove)
          yield* isAt(back, "a")
          yield* isAt(first, "d")
          yield* isAt(second, "d")
          assert.isTrue(yield* second.remove)
          yield* isNowhere(first)
          yield* isNowhere(second)
          yield* isAt(back, "a")
        }))

      testAbcd("sees what another one has written", (kt, first) =>
        Effect.gen(function*() {
          const second = yield* kt.cursor()
          yield* first.jump("b")
          yield* second.jump("b")
          assert.isTrue(yield* first.setValue("written"))
          deepStrictEqual(yield* second.value(), some("written"))
        }))

      test("is of one database", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("a", "value of a")
          yield* kt.set("b", "value of b", { db: 1 })
          const first = yield* kt.cursor()
          const named = yield* kt.cursor({ db: "other" })
          const viewed = yield* kt.setDatabase(1).cursor()
          yield* Effect.forEach([first, named, viewed], (cursor) => cursor.jump())
          yield* isAt(first, "a")
          yield* isAt(named, "b")
          yield* isAt(viewed, "b")
          assert.isTrue(yield* named.remove)
          assert.isTrue(yield* kt.exists("a"))
          yield* kt.clear({ db: 1 })
          yield* isAt(first, "a")
          yield* ktError(Effect.scoped(kt.cursor({ db: 7 })), "NoDatabase")
          yield* ktError(Effect.scoped(kt.cursor({ db: "nothing" })), "NoDatabase")
        }))
    })

    testAbcd("loses its position for good when the database is cleared", (kt, cursor) =>
      Effect.gen(function*() {
        const others = yield* Effect.replicateEffect(kt.cursor(), 2)
        yield* cursor.jump("b")
        for (const other of others) yield* other.jumpBack()
        yield* kt.clear()
        yield* kt.setBulk(records("a", "b", "c", "d"))
        for (const one of [cursor, ...others]) {
          assert.isFalse(yield* one.stepBack)
          yield* isNowhere(one)
        }
        assert.isTrue(yield* cursor.jump("b"))
        yield* isAt(cursor, "b")
      }))

    describe("and time: it", () => {
      const expiring = (kt: Kt, ...keys: ReadonlyArray<string>) =>
        kt.setBulk(records(...keys), { expireTime: "1 minute" })

      testAbcd("passes over what has expired", (kt, cursor) =>
        Effect.gen(function*() {
          yield* expiring(kt, "a", "bb", "d")
          yield* TestClock.adjust("1 minute")
          assert.isTrue(yield* cursor.jump())
          yield* isAt(cursor, "b")
          assert.isTrue(yield* cursor.jump("bb"))
          yield* isAt(cursor, "c")
          assert.isFalse(yield* cursor.jump("d"))
          assert.isTrue(yield* cursor.jumpBack())
          yield* isAt(cursor, "c")
          assert.isTrue(yield* cursor.stepBack)
          yield* isAt(cursor, "b")
          assert.isFalse(yield* cursor.stepBack)
          assert.isTrue(yield* cursor.jumpBack("bb"))
          assert.isTrue(yield* cursor.step)
          yield* isAt(cursor, "c")
          assert.isFalse(yield* cursor.step)
          yield* cursor.jump()
          deepStrictEqual((yield* collect(cursor.entries)).map(([key]) => key), ["b", "c"])
        }))

      testAbcd("goes on to the next from a record that expires under it", (kt, cursor) =>
        Effect.gen(function*() {
          yield* expiring(kt, "b", "d")
          const last = yield* kt.cursor()
          yield* cursor.jump("b")
          yield* last.jump("d")
          yield* TestClock.adjust("1 minute")
          yield* isAt(cursor, "c")
          yield* isNowhere(last)
          assert.isTrue(yield* cursor.remove)
          yield* isNowhere(cursor)
          deepStrictEqual(yield* kt.keysNonlazy(), ["a"])
        }))

      test("keeps the expiry of what it writes to, unless told", (kt, cursor) =>
        Effect.gen(function*() {
          yield* TestClock.setTime(1_000_000)
          yield* kt.set("a", "1", { expireTime: "1 minute" })
          yield* kt.set("b", "2")
          const expiry = (key: string) => kt.expires(key)
          const at = (millis: number) => KtCompat.Expiration.Expires({ at: DateTime.unsafeMake(1_000_000 + millis) })
          yield* TestClock.adjust("10 seconds")
          yield* cursor.jump("a")
          assert.isTrue(yield* cursor.setValue("new"))
          deepStrictEqual(yield* kt.get("a"), some("new"))
          deepStrictEqual(yield* expiry("a"), at(60_000))
          assert.isTrue(yield* cursor.setValue("newer", { expireTime: "keep" }))
          deepStrictEqual(yield* expiry("a"), at(60_000))
          assert.isTrue(yield* cursor.setValue("newest", { expireTime: Duration.seconds(5) }))
          deepStrictEqual(yield* expiry("a"), at(15_000))
          assert.isTrue(yield* cursor.setValue("last", { expireTime: "never", step: true }))
          deepStrictEqual(yield* expiry("a"), KtCompat.Expiration.Persistent())
          assert.isTrue(yield* cursor.setValue("other"))
          deepStrictEqual(yield* expiry("b"), KtCompat.Expiration.Persistent())
          assert.isTrue(yield* cursor.setValue("other", { expireTime: KtCompat.expire(60) }))
          deepStrictEqual((yield* expiry("b"))._tag, "Expires")
          yield* TestClock.adjust("1 hour")
          assert.isFalse(yield* cursor.setValue("too late"))
          deepStrictEqual(yield* kt.get("b"), none())
        }))
    })

    testAbcd("whose setValue is refused is where it was, and nothing is written", (kt, cursor) =>
      Effect.gen(function*() {
        yield* cursor.jump("b")
        yield* ktError(cursor.setValue("x", { expireTime: KtCompat.expire(NaN), step: true }), "InvalidArgument")
        yield* isAt(cursor, "b")
        const numbers = yield* (yield* KtCompat.make({ value: Schema.Int })).cursor()
        yield* numbers.jump("b")
        const error = yield* Effect.flip(numbers.setValue(1.5, { step: true }))
        assert.strictEqual(error._tag, "CodecError")
        deepStrictEqual(yield* numbers.key(), some("b"))
        deepStrictEqual(yield* kt.get("b"), some("value of b"))
      }))

    describe("as a stream", () => {
      testAbcd("gives the records from where it is, forward", (_, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("b")
          deepStrictEqual(yield* collect(cursor.entries), records("b", "c", "d"))
          yield* isNowhere(cursor)
        }))

      testAbcd("gives the records from where it is, backward", (_, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jumpBack("c")
          deepStrictEqual(yield* collect(cursor.entries), records("c", "b", "a"))
          yield* isNowhere(cursor)
          yield* cursor.jump("b")
          yield* cursor.step
          yield* cursor.stepBack
          deepStrictEqual(yield* collect(cursor.entries), records("b", "a"))
        }))

      testAbcd("is as far as what was taken of it", (_, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump()
          deepStrictEqual(yield* collect(Stream.take(cursor.entries, 0)), [])
          yield* isAt(cursor, "a")
          deepStrictEqual(yield* collect(Stream.take(cursor.entries, 2)), records("a", "b"))
          yield* isAt(cursor, "c")
          deepStrictEqual(yield* collect(Stream.take(cursor.entries, 1)), records("c"))
          deepStrictEqual(yield* cursor.seize, some(record("d")))
          yield* cursor.jumpBack()
          deepStrictEqual(yield* collect(Stream.take(cursor.entries, 2)), records("c", "b"))
          yield* isAt(cursor, "a")
        }))

      testAbcd("moves while it is taken", (_, cursor) =>
        Effect.gen(function*() {
          for (const backward of [false, true]) {
            yield* backward ? cursor.jumpBack() : cursor.jump()
            const seen = yield* collect(
              Stream.mapEffect(cursor.entries, ([key]) => Effect.map(cursor.key(), (next) => [key, next] as const))
            )
            const keys = backward ? ["d", "c", "b", "a"] : ["a", "b", "c", "d"]
            deepStrictEqual(
              seen,
              keys.map((key, i) => [key, Option.fromNullable(keys[i + 1])] as const)
            )
          }
        }))

      testAbcd("steps on from there as from anywhere", (_, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump()
          yield* collect(Stream.take(cursor.entries, 1))
          assert.isTrue(yield* cursor.step)
          yield* isAt(cursor, "c")
          yield* cursor.jump()
          yield* collect(Stream.take(cursor.entries, 2))
          assert.isTrue(yield* cursor.stepBack)
          yield* isAt(cursor, "b")
          yield* cursor.jumpBack()
          yield* collect(Stream.take(cursor.entries, 1))
          assert.isTrue(yield* cursor.stepBack)
          yield* isAt(cursor, "b")
          yield* cursor.jumpBack()
          yield* collect(Stream.take(cursor.entries, 2))
          assert.isTrue(yield* cursor.step)
          yield* isAt(cursor, "c")
        }))

      testAbcd("has no position at its end, also when there are more records later", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump("c")
          yield* collect(cursor.entries)
          yield* kt.set("e", "value of e")
          yield* isNowhere(cursor)
          yield* cursor.jumpBack("b")
          yield* collect(cursor.entries)
          yield* kt.set("0", "value of 0")
          yield* isNowhere(cursor)
        }))

      testAbcd("has no position when the database is cleared while it is taken", (kt, cursor) =>
        Effect.gen(function*() {
          const refill = Effect.zipRight(kt.clear(), kt.setBulk(records("a", "b", "c", "d")))
          yield* cursor.jump()
          yield* collect(Stream.take(cursor.entries, 2))
          yield* refill
          yield* isNowhere(cursor)
          yield* cursor.jump()
          const refilling = Stream.tap(cursor.entries, ([key]) =>
            key === "b" ? refill : Effect.void)
          deepStrictEqual(yield* collect(Stream.take(refilling, 3)), records("a", "b", "c"))
          yield* isNowhere(cursor)
        }))

      test("goes over more records than are read at once, and over each once", (kt, cursor) =>
        Effect.gen(function*() {
          const keys = Array.from({ length: 1500 }, (_, i) =>
            `${10_000 + i}`)
          yield* kt.setBulk(records(...keys))
          yield* cursor.jump()
          const first = yield* collect(Stream.take(cursor.entries, 700))
          const second = yield* collect(cursor.entries)
          deepStrictEqual([...first, ...second], records(...keys))
          yield* cursor.jumpBack()
          const third = yield* collect(Stream.take(cursor.entries, 700))
          const fourth = yield* collect(cursor.entries)
          deepStrictEqual([...third, ...fourth], records(...[...keys].reverse()))
        }))
    })

    describe("of a database without an order", () => {
      const inHash = Effect.gen(function*() {
        const kt = (yield* KtCompat.make()).setDatabase(hash)
        yield* kt.setBulk(records("a", "b", "c", "d"))
        return { cursor: yield* kt.cursor(), kt }
      })
      const testHash = (
        title: string,
        body: (kt: Kt, cursor: Cursor) => Effect.Effect<void, unknown, Scope.Scope>
      ) =>
        it.scoped(title, () =>
          Effect.flatMap(inHash, ({ cursor, kt }) =>
            body(kt, cursor)).pipe(Effect.provide(databases(engine))))

      testHash("jumps to a key only if it is there", (_, cursor) =>
        Effect.gen(function*() {
          assert.isTrue(yield* cursor.jump("b"))
          yield* isAt(cursor, "b")
          assert.isFalse(yield* cursor.jump("bb"))
          yield* isNowhere(cursor)
          assert.isFalse(yield* cursor.jump("A"))
        }))

      testHash("goes over each record once, in any order", (_, cursor) =>
        Effect.gen(function*() {
          const seen: Array<string> = []
          assert.isTrue(yield* cursor.jump())
          do {
            seen.push(Option.getOrThrow(yield* cursor.key()))
          } while (yield* cursor.step)
          deepStrictEqual(seen.sort(), ["a", "b", "c", "d"])
          yield* cursor.jump()
          deepStrictEqual(
            (yield* collect(cursor.entries)).map(([key]) =>
              key
            ).sort(),
            ["a", "b", "c", "d"]
          )
        }))

      testHash("does not go backward, and stays where it is", (_, cursor) =>
        Effect.gen(function*() {
          yield* ktError(cursor.jumpBack(), "NotImplemented")
          yield* cursor.jump("b")
          yield* ktError(cursor.jumpBack(), "NotImplemented")
          yield* ktError(cursor.jumpBack("a"), "NotImplemented")
          yield* ktError(cursor.stepBack, "NotImplemented")
          yield* isAt(cursor, "b")
          // Forward still.
          yield* cursor.jump()
          const seen = yield* Effect.replicateEffect(cursor.key({ step: true }), 5)
          deepStrictEqual(seen.flatMap(Option.toArray).sort(), ["a", "b", "c", "d"])
          deepStrictEqual(seen[4], none())
        }))

      testHash("removes, and stands on another", (kt, cursor) =>
        Effect.gen(function*() {
          yield* cursor.jump()
          const seen: Array<string> = []
          for (let next = yield* cursor.seize; Option.isSome(next); next = yield* cursor.seize) {
            seen.push(next.value[0])
          }
          deepStrictEqual(seen.sort(), ["a", "b", "c", "d"])
          assert.strictEqual(yield* kt.count(), 0)
        }))
    })

    it("agrees with a model on every answer of random programs", () =>
      fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 60, minLength: 10 }), (commands) =>
          Effect.scoped(Effect.gen(function*() {
            const kt = yield* KtCompat.make()
            const model = new Model()
            for (const key of ["a", "b", "c", "d"]) {
              yield* kt.set(key, "0")
              model.set(key, "0", undefined)
            }
            const cursors = [yield* kt.cursor(), yield* kt.cursor(), yield* kt.cursor()] as const
            for (const command of commands) {
              const told = `${JSON.stringify(command)} of ${JSON.stringify(commands)}`
              deepStrictEqual(yield* run(kt, cursors, command), expect(model, command), told)
            }
            deepStrictEqual(
              yield* collect(kt.items()),
              model.records.filter((one) =>
                model.isLive(one)
              ).map(({ key, value }) => [key, value] as const)
            )
          })).pipe(
            Effect.provide(databases(engine)),
            (program) => Effect.zipRight(TestClock.setTime(1_000_000), program),
            Effect.provide(TestContext.TestContext),
            Effect.runPromise
          )),
        { numRuns: engine === postgres ? 12 : engine === memory ? 120 : 20 }
      ), 60_000)
  })

// --- The model: an array of records, and places in it ---

type At =
  | { readonly _tag: "jump" | "jumpBack"; readonly key: string | undefined }
  | { readonly _tag: "step" | "stepBack" | "remove" | "seize" | "isValid" }
  | { readonly _tag: "key" | "value" | "get"; readonly step: boolean }
  | { readonly _tag: "setValue"; readonly value: string; readonly step: boolean; readonly life: number | undefined }
  | { readonly _tag: "entries"; readonly count: number }

type Command =
  | { readonly _tag: "cursor"; readonly n: 0 | 1 | 2; readonly at: At }
  | { readonly _tag: "set"; readonly key: string; readonly value: string; readonly life: number | undefined }
  | { readonly _tag: "removeKey"; readonly key: string }
  | { readonly _tag: "removeUnder"; readonly n: 0 | 1 | 2 }
  | { readonly _tag: "clear" }
  | { readonly _tag: "clock"; readonly millis: number }

const key = fc.constantFrom("", "a", "aa", "b", "c", "ca", "d", "é")
const value = fc.constantFrom("", "1", "2", "3")
const life = fc.option(fc.integer({ max: 30, min: 1 }), { freq: 4, nil: undefined })
const tag = <const Tags extends ReadonlyArray<string>>(...tags: Tags): fc.Arbitrary<Tags[number]> =>
  fc.constantFrom(...tags)

const n = fc.constantFrom<Array<0 | 1 | 2>>(0, 1, 2)

const at: fc.Arbitrary<At> = fc.oneof(
  {
    arbitrary: fc.record({ _tag: tag("jump", "jumpBack"), key: fc.option(key, { freq: 2, nil: undefined }) }),
    weight: 4
  },
  { arbitrary: fc.record({ _tag: tag("step", "stepBack") }), weight: 5 },
  { arbitrary: fc.record({ _tag: tag("remove", "seize", "isValid") }), weight: 3 },
  { arbitrary: fc.record({ _tag: tag("key", "value", "get"), step: fc.boolean() }), weight: 4 },
  { arbitrary: fc.record({ _tag: tag("setValue"), life, step: fc.boolean(), value }), weight: 1 },
  { arbitrary: fc.record({ _tag: tag("entries"), count: fc.integer({ max: 4, min: 1 }) }), weight: 1 }
)

const command: fc.Arbitrary<Command> = fc.oneof(
  { arbitrary: fc.record({ _tag: tag("cursor"), at, n }), weight: 30 },
  { arbitrary: fc.record({ _tag: tag("set"), key, life, value }), weight: 12 },
  { arbitrary: fc.record({ _tag: tag("removeKey"), key }), weight: 4 },
  { arbitrary: fc.record({ _tag: tag("removeUnder"), n }), weight: 8 },
  { arbitrary: fc.record({ _tag: tag("clock"), millis: fc.integer({ max: 15, min: 1 }) }), weight: 2 },
  fc.record({ _tag: tag("clear") })
)

interface Stored {
  readonly key: string
  value: string
  expiresAt: number
}

interface Place {
  /** The key that it came to. */
  key: string | undefined
  back: boolean
}

const order = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

class Model {
  records: Array<Stored> = []
  now = 0
  readonly places: ReadonlyArray<Place> = [0, 1, 2].map(() => ({ back: false, key: undefined }))

  isLive({ expiresAt }: Stored): boolean {
    return expiresAt > this.now
  }

  set(key: string, value: string, life: number | undefined): void {
    this.remove(key)
    this.records.push({ expiresAt: this.now + (life ?? Infinity), key, value })
    this.records.sort((a, b) => order(a.key, b.key))
  }

  remove(key: string): boolean {
    const found = this.records.find((one) => one.key === key)
    this.records = this.records.filter((one) => one !== found)
    return found !== undefined && this.isLive(found)
  }

  first(where: (key: string) => boolean): Stored | undefined {
    return this.records.find((one) => this.isLive(one) && where(one.key))
  }

  last(where: (key: string) => boolean): Stored | undefined {
    return this.records.findLast((one) => this.isLive(one) && where(one.key))
  }

  /** The record under it; of one that vanished, the next greater. */
  under(place: Place): Stored | undefined {
    const { key } = place
    const found = key === undefined ? undefined : this.first((other) => order(other, key) >= 0)
    place.key = found?.key
    return found
  }

  /** One further from a record, in its direction. */
  further(place: Place, from: string): boolean {
    const found = place.back
      ? this.last((key) => order(key, from) < 0)
      : this.first((key) => order(key, from) > 0)
    place.key = found?.key
    return found !== undefined
  }
}

const expectAt = (model: Model, place: Place, at: At): unknown => {
  switch (at._tag) {
    case "jump":
    case "jumpBack": {
      const { key } = at
      place.back = at._tag === "jumpBack"
      const found = place.back
        ? model.last((other) => key === undefined || order(other, key) <= 0)
        : model.first((other) => key === undefined || order(other, key) >= 0)
      place.key = found?.key
      return found !== undefined
    }
    case "step": {
      place.back = false
      const current = model.under(place)
      return current !== undefined && model.further(place, current.key)
    }
    case "stepBack":
      place.back = true
      return place.key !== undefined && model.further(place, place.key)
    case "isValid":
      return model.under(place) !== undefined
    case "remove":
    case "seize": {
      const current = model.under(place)
      if (current !== undefined) {
        model.remove(current.key)
        model.further(place, current.key)
      }
      if (at._tag === "remove") return current !== undefined
      return current === undefined ? none() : some([current.key, current.value] as const)
    }
    case "key":
    case "value":
    case "get": {
      const current = model.under(place)
      if (current === undefined) return none()
      if (at.step) model.further(place, current.key)
      return some(at._tag === "get" ? [current.key, current.value] as const : current[at._tag])
    }
    case "setValue": {
      const current = model.under(place)
      if (current === undefined) return false
      current.value = at.value
      if (at.life !== undefined) current.expiresAt = model.now + at.life
      if (at.step) model.further(place, current.key)
      return true
    }
    case "entries": {
      const seen: Array<unknown> = []
      for (let current = model.under(place); current !== undefined && seen.length < at.count;) {
        seen.push([current.key, current.value] as const)
        current = model.further(place, current.key) ? model.under(place) : undefined
      }
      return [seen, Option.fromNullable(model.under(place)?.key)]
    }
  }
}

const expect = (model: Model, command: Command): unknown => {
  switch (command._tag) {
    case "set":
      return model.set(command.key, command.value, command.life)
    case "removeKey":
      return model.remove(command.key)
    case "removeUnder": {
      const place = model.places[command.n]
      const found = place === undefined ? undefined : model.under(place)
      return found === undefined ? none() : some(model.remove(found.key))
    }
    case "clear":
      model.records = []
      for (const place of model.places) place.key = undefined
      return undefined
    case "clock":
      model.now += command.millis
      return undefined
    case "cursor": {
      const place = model.places[command.n]
      return place === undefined ? assert.fail() : expectAt(model, place, command.at)
    }
  }
}

const lifeOf = (life: number | undefined) => life === undefined ? {} : { expireTime: Duration.millis(life) }

const runAt = (cursor: Cursor, at: At): Effect.Effect<unknown, KtCompat.Failure> => {
  switch (at._tag) {
    case "jump":
    case "jumpBack":
      return cursor[at._tag](at.key)
    case "step":
    case "stepBack":
    case "isValid":
    case "remove":
    case "seize":
      return cursor[at._tag]
    case "key":
    case "value":
    case "get":
      return cursor[at._tag](at)
    case "setValue":
      return cursor.setValue(at.value, { step: at.step, ...lifeOf(at.life) })
    case "entries":
      return Effect.all([collect(Stream.take(cursor.entries, at.count)), cursor.key()])
  }
}

const run = (
  kt: Kt,
  cursors: readonly [Cursor, Cursor, Cursor],
  command: Command
): Effect.Effect<unknown, KtCompat.Failure> => {
  switch (command._tag) {
    case "set":
      return kt.set(command.key, command.value, lifeOf(command.life))
    case "removeKey":
      return kt.remove(command.key)
    case "removeUnder":
      return Effect.flatMap(
        cursors[command.n].key(),
        (key) => Effect.transposeOption(Option.map(key, (key) => kt.remove(key)))
      )
    case "clear":
      return kt.clear()
    case "clock":
      return TestClock.adjust(Duration.millis(command.millis))
    case "cursor":
      return runAt(cursors[command.n], command.at)
  }
}
