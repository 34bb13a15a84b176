/** Who is given what when many ask at once: each item to one, and none to nobody. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Context, Deferred, Effect, Exit, Fiber, Layer, Option, Stream } from "effect"
import { KtCompat, KtTransport, Storage } from "effect-kv"
import * as path from "node:path"
import { describeOn, kinds } from "./engines.js"
import { tempFolder } from "./support.js"

const range = (n: number) => Array.from({ length: n }, (_, i) => i)
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")

for (const engine of kinds) {
  const on = (options?: KtTransport.Options) => Layer.provideMerge(KtTransport.layer(options), engine.layer)

  describeOn(engine, "races of KtCompat", () => {
    // The clock stands still: whoever is not woken waits for ever.
    it.effect("who waits is woken by what comes, whenever it comes", () =>
      Effect.gen(function*() {
        const queue = (yield* KtCompat.make()).Queue("q")
        for (const i of range(20)) {
          const waiting = yield* Effect.fork(queue.bpop({ timeout: "1 hour" }))
          for (let turn = 0; turn < i % 10; turn++) yield* Effect.yieldNow()
          yield* queue.add(String(i))
          assert.strictEqual(Option.getOrUndefined(yield* Fiber.join(waiting)), String(i))
        }
        assert.strictEqual(yield* queue.count, 0)
      }).pipe(Effect.provide(on())))

    it.effect("who waits is woken by another transport of the same storage", () =>
      Effect.gen(function*() {
        const other = Context.get(yield* Layer.build(KtTransport.layer()), KtTransport.KtTransport)
        const here = (yield* KtCompat.make()).Queue("q")
        const there = (yield* Effect.provideService(KtCompat.make(), KtTransport.KtTransport, other)).Queue("q")
        const waiting = yield* Effect.fork(here.bpop({ timeout: "1 hour" }))
        yield* engine.turns
        yield* there.add("x")
        assert.strictEqual(Option.getOrUndefined(yield* Fiber.join(waiting)), "x")
      }).pipe(Effect.scoped, Effect.provide(on())))

    it.effect("each item goes to one of those who wait, also if some of them are interrupted", () =>
      Effect.gen(function*() {
        const queue = (yield* KtCompat.make()).Queue("q")
        for (const round of range(2)) {
          const waiting = yield* Effect.forEach(range(30), () => Effect.fork(queue.bpop({ timeout: "1 hour" })))
          yield* engine.turns
          const [gone, staying] = [waiting.slice(0, 15), waiting.slice(15)]
          const items = range(15).map((i) => `${round} ${i}`)
          const [ended] = yield* Effect.all([
            Effect.forEach(gone, Fiber.interrupt, { concurrency: "unbounded" }),
            Effect.forEach(items, (item) => queue.add(item), { concurrency: "unbounded" })
          ], { concurrency: "unbounded" })
          const early = ended.filter(Exit.isSuccess).flatMap(({ value }) => Option.toArray(value))
          // As many more as were had by those who had them before they were interrupted.
          yield* Effect.forEach(early, (item) => queue.add(`again ${item}`), { concurrency: "unbounded" })
          const got = (yield* Effect.forEach(staying, Fiber.join)).flatMap(Option.toArray)
          deepStrictEqual(
            [...early, ...got].sort(),
            [...items, ...early.map((item) => `again ${item}`)].sort()
          )
          assert.strictEqual(yield* queue.count, 0)
        }
      }).pipe(Effect.provide(on())))

    it.effect("what is rolled back was never there, and what is committed comes then", () =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const queue = (yield* KtCompat.make()).Queue("q")
        const waiting = yield* Effect.fork(queue.bpop({ timeout: "1 hour" }))
        yield* engine.turns
        yield* Effect.exit(storage.transaction(Effect.zipRight(queue.add("no"), Effect.fail("back"))))
        yield* engine.turns
        assert.isTrue(Option.isNone(yield* waiting.poll))
        yield* storage.transaction(queue.add("yes"))
        assert.strictEqual(Option.getOrUndefined(yield* Fiber.join(waiting)), "yes")
        assert.isTrue(Option.isNone(yield* storage.transaction(queue.bpop())))
        yield* queue.add("kept")
        yield* Effect.exit(storage.transaction(Effect.zipRight(queue.bpop(), Effect.die("back"))))
        deepStrictEqual(yield* queue.peekMany(9), ["kept"])
      }).pipe(Effect.provide(on())))

    it.live("nothing is lost between queues that are emptied into each other", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const [a, b] = [kt.Queue("a"), kt.Queue("b")]
        const items = range(20).map(String)
        yield* a.extend(items)
        yield* Effect.forEach(
          range(30),
          (i) => i % 2 === 0 ? a.transferMany("b", 3) : b.transferMany("a", 2),
          { concurrency: 3 }
        )
        const all = [...(yield* a.peekMany(99)), ...(yield* b.peekMany(99))]
        deepStrictEqual(all.sort(), items.sort())
      }).pipe(Effect.provide(on())))

    it.live("what is popped stays popped while others change its priority", () =>
      Effect.gen(function*() {
        const queue = (yield* KtCompat.make()).Queue("q")
        yield* queue.extend(range(30).map(() => "x"))
        const [popped] = yield* Effect.all([
          Effect.forEach(range(30), () => queue.rpop(), { concurrency: 4 }),
          Effect.forEach(range(10), (i) => queue.setPriority("x", i % 3 + 1), { concurrency: 3 })
        ], { concurrency: "unbounded" })
        assert.strictEqual(popped.filter(Option.isSome).length + (yield* queue.count), 30)
      }).pipe(Effect.provide(on())))

    it.effect("an item that is too low for one goes to another, and one that is not goes to the first", () =>
      Effect.gen(function*() {
        const queue = (yield* KtCompat.make()).Queue("q")
        const waiting = (minScore: number | undefined) =>
          Effect.zipLeft(Effect.fork(queue.bpop({ minScore, timeout: "1 hour" })), engine.turns)
        const [high, higher] = [yield* waiting(10), yield* waiting(10)]
        const any = yield* waiting(undefined)
        const middle = yield* waiting(5)
        yield* queue.add("low", { score: 1 })
        assert.strictEqual(Option.getOrUndefined(yield* Fiber.join(any)), "low")
        yield* queue.add("middle", { score: 6 })
        assert.strictEqual(Option.getOrUndefined(yield* Fiber.join(middle)), "middle")
        yield* queue.extend(["1", "2"], { score: 11 })
        const got = yield* Effect.forEach([high, higher], Fiber.join)
        deepStrictEqual(got.map(Option.getOrUndefined).sort(), ["1", "2"])
      }).pipe(Effect.provide(on())))

    it.live("a queue that is cleared while others add and pop has what nobody else has had", () =>
      Effect.gen(function*() {
        const queue = (yield* KtCompat.make()).Queue("q")
        const popping = Effect.map(queue.pop(), (item) => Option.isSome(item) ? 1 : 0)
        const [added, gone, cleared] = yield* Effect.all([
          Effect.forEach(range(40), (i) => queue.extend([`${i}`, `${i} more`], { score: i % 2 }), { concurrency: 4 }),
          Effect.forEach(range(30), () => popping, { concurrency: 3 }),
          Effect.forEach(range(8), () => queue.clear)
        ], { concurrency: "unbounded" })
        const sum = (counts: ReadonlyArray<number>) => counts.reduce((a, b) => a + b, 0)
        assert.strictEqual(sum(added), 80)
        assert.strictEqual(sum(gone) + sum(cleared) + (yield* queue.count), 80)
      }).pipe(Effect.provide(on())))

    it.live("cursors that seize from both ends have each record once", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const keys = range(60).map((i) => `k${String(i).padStart(3, "0")}`)
        yield* kt.setBulk(keys.map((key) => [key, "v"] as const))
        const had: Array<string> = []
        const eating = (back: boolean) =>
          Effect.scoped(Effect.gen(function*() {
            const cursor = yield* kt.cursor()
            while (yield* (back ? cursor.jumpBack() : cursor.jump())) {
              for (let found = yield* cursor.seize; Option.isSome(found); found = yield* cursor.seize) {
                had.push(found.value[0])
              }
            }
          }))
        yield* Effect.all([eating(false), eating(true), eating(false)], { concurrency: "unbounded" })
        deepStrictEqual(had.sort(), keys)
      }).pipe(Effect.provide(on())))

    it.live("what is logged makes the same records again, and who follows sees it in the same order", () =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const kt = yield* KtCompat.make()
        const seen: Array<bigint> = []
        const caughtUp = yield* Deferred.make<void>()
        yield* Effect.fork(Stream.runForEach(kt.changes({ follow: true }), (change) => {
          seen.push(change.timestamp)
          return change._tag === "Set" && text(change.key) === "end"
            ? Deferred.succeed(caughtUp, undefined)
            : Effect.void
        }))
        yield* Effect.forEach(range(42), (i): Effect.Effect<unknown, KtCompat.Failure> => {
          const key = `k${i % 4}`
          switch (i % 7) {
            case 0:
              return Effect.exit(storage.transaction(Effect.zipRight(kt.set(`no ${i}`, ""), Effect.fail("back"))))
            case 1:
              return kt.setBulk({ [`a${i}`]: "1", [key]: "2" })
            case 2:
              return kt.increment("n")
            case 3:
              return kt.append(key, "x")
            case 4:
              return kt.remove(key)
            case 5:
              return kt.Queue("q").add(key)
            default:
              return kt.Queue("q").pop()
          }
        }, { concurrency: 5 })
        yield* kt.set("end", "")
        yield* Deferred.await(caughtUp)
        const logged = Chunk.toArray(yield* Stream.runCollect(kt.changes()))
        deepStrictEqual(seen, logged.map(({ timestamp }) => timestamp))
        assert.strictEqual(new Set(seen).size, seen.length)
        const again = new Map<string, string>()
        for (const change of logged) {
          if (change._tag === "Set") again.set(text(change.key), text(change.value))
          else if (change._tag === "Remove") again.delete(text(change.key))
        }
        const records = yield* Stream.runCollect((yield* KtCompat.make({ value: KtCompat.none })).items())
        deepStrictEqual(
          [...again].sort(),
          Array.from(records, ([key, value]) => [key, text(value)] as [string, string]).sort()
        )
        assert.isFalse([...again.keys()].some((key) => key.startsWith("no ")))
      }).pipe(Effect.provide(on({ updateLog: { serverId: 1 } }))))

    it.live("procedures that die or are interrupted have written nothing", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const exits = yield* Effect.forEach(
          range(16),
          (i) => Effect.exit(kt.rawScript(["good", "dies", "good", "stops"][i % 4] ?? "")),
          { concurrency: 4 }
        )
        assert.strictEqual(exits.filter(Exit.isSuccess).length, 8)
        assert.strictEqual(yield* kt.increment("n", 0), 8n)
        yield* kt.rawScript("goes on")
        assert.strictEqual(yield* kt.increment("n", 0), 9n)
      }).pipe(Effect.provide(on({
        procedures: [
          KtCompat.procedure("good", (_, kt) => Effect.as(kt.increment("n"), {})),
          KtCompat.procedure("dies", (_, kt) => Effect.zipRight(kt.increment("n"), Effect.dieMessage("boom"))),
          KtCompat.procedure("stops", (_, kt) => Effect.zipRight(kt.increment("n"), Effect.interrupt)),
          KtCompat.procedure("goes on", (_, kt) =>
            Effect.as(Effect.zipRight(Effect.exit(kt.rawScript("dies")), kt.rawScript("good")), {}))
        ]
      }))))
  })
}

describe("databases of several storages", () => {
  it.scopedLive("bulks that name them in any order do not wait for each other for ever", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const databases = ["%", path.join(folder, "a.kct"), path.join(folder, "b.kct")]
      const context = yield* Layer.build(KtTransport.layerDatabases(databases))
      const kt = yield* Effect.provide(KtCompat.make(), context)
      const orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]]
      yield* Effect.forEach(range(24), (i) =>
        kt.setBulkDetails((orders[i % 4] ?? []).map((db) => ({ db, key: "k", value: String(i) }))), {
        concurrency: 6
      })
      const found = yield* kt.getBulkDetails([[0, "k"], [1, "k"], [2, "k"]])
      assert.strictEqual(found.length, 3)
      assert.strictEqual(
        new Set(found.map(({ value }) =>
          value
        )).size,
        1
      )
    }))
})
