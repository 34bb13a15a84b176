/** Operations of KtCompat that are interrupted wherever a fiber can be. */
import { assert, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Effect, Exit, Fiber, FiberId, Layer, Option, Scheduler, type Scope, Stream, Utils } from "effect"
import { KtCompat, KtTransport } from "effect-kv"
import { isDeepStrictEqual } from "node:util"
import { describeOn, type Engine, memory, postgres } from "../engines.js"

type Kt = KtCompat.KtCompat<string, string>

const { defaultScheduler } = Scheduler
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

/** Calls back before one of the operations of a fiber, and has fibers take turns often. */
class Stepping implements Scheduler.Scheduler {
  steps = 0

  constructor(private readonly at: number, private readonly reached: () => void) {}

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    if (this.steps++ === this.at) this.reached()
    // To yield takes some operations, too.
    return fiber.currentOpCount > 40 ? 0 : false
  }

  scheduleTask(task: () => void, priority: number): void {
    defaultScheduler.scheduleTask(task, priority)
  }
}

/** Interrupts an effect at a step; its exit, and how many steps it took. */
const interruptedAt = <A, E>(at: number, self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fibers: Array<Fiber.RuntimeFiber<A, E>> = []
    const scheduler = new Stepping(at, () => fibers[0]?.unsafeInterruptAsFork(FiberId.none))
    const fiber = yield* Effect.withScheduler(Effect.forkDaemon(self), scheduler)
    fibers.push(fiber)
    return { exit: yield* Fiber.await(fiber), steps: scheduler.steps }
  })

/** All that there is, with its expiry. The order of a set does not matter. */
const everything = (kt: Kt) =>
  Effect.gen(function*() {
    const keys = Chunk.toReadonlyArray(yield* Stream.runCollect(kt.keys()))
    return yield* Effect.forEach(keys, (key) =>
      Effect.gen(function*() {
        const value = key === "set" ? [...yield* kt.Set(key).members].sort() : yield* kt.getBytes(key)
        return [key, value, yield* kt.expires(key)] as const
      }))
  })

/** What there is before each of them: containers of three, numbers and plain records. */
const prepare = (kt: Kt) =>
  Effect.gen(function*() {
    yield* kt.clear()
    const three = ["a", "b", "c"]
    yield* kt.setBulk(three.map((key) => [key, `value of ${key}`] as const))
    yield* kt.increment("number", 5)
    yield* kt.List("list").extend(three)
    yield* kt.List("other").extend(three)
    yield* kt.Set("set").addBulk(three)
    yield* kt.Set("second").addBulk(["c", "d"])
    yield* kt.Hash("hash").setBulk({ a: "1", b: "2" })
    yield* kt.Queue("queue").extend(three)
    yield* kt.Schedule("schedule").add("a", 1)
    yield* kt.Schedule("schedule").add("b", 2)
  })

const operations: Record<string, (kt: Kt) => Effect.Effect<unknown, KtCompat.Failure, Scope.Scope>> = {
  "cursor.seize": (kt) => Effect.flatMap(kt.cursor(), (cursor) => Effect.zipRight(cursor.jump("b"), cursor.seize)),
  "cursor.setValue": (kt) =>
    Effect.flatMap(kt.cursor(), (cursor) => Effect.zipRight(cursor.jump("b"), cursor.setValue("x", { step: true }))),
  "Hash.setBulk": (kt) => kt.Hash("hash").setBulk({ b: "3", c: "4" }),
  "Hash.unpack": (kt) => kt.Hash("hash").unpack(),
  increment: (kt) => kt.increment("number", 3),
  "List.extend": (kt) => kt.List("list").extend(["d", "e"]),
  "List.lpoprpush": (kt) => kt.List("list").lpoprpush("other"),
  "List.popLeft": (kt) => kt.List("list").popLeft,
  "List.rpoplpush": (kt) => kt.List("other").rpoplpush("list"),
  "Queue.add": (kt) => kt.Queue("queue").add("d", { score: 1 }),
  "Queue.clear": (kt) => kt.Queue("queue").clear,
  "Queue.extend": (kt) => kt.Queue("queue").extend(["d", "e"]),
  "Queue.popMany": (kt) => kt.Queue("queue").popMany(2),
  "Queue.remove": (kt) => kt.Queue("queue").remove("b"),
  "Queue.setPriority": (kt) => kt.Queue("queue").setPriority("c", 7),
  "Queue.transferMany": (kt) => kt.Queue("queue").transferMany("destination", 2),
  "Schedule.read": (kt) => kt.Schedule("schedule").read({ due: 2 }),
  seize: (kt) => kt.seize("b"),
  "Set.add": (kt) => kt.Set("set").add("d", "e"),
  "Set.pop": (kt) => kt.Set("set").pop,
  "Set.union": (kt) => kt.Set("set").union("second", "destination"),
  setBulk: (kt) => kt.setBulk({ b: "new", d: "new" }, { expireTime: "1 hour" })
}

/** How many moments of an operation are tried. */
const momentsOf = (engine: Engine) => engine === memory ? 40 : engine === postgres ? 5 : 10

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat, interrupted", () => {
    const databases = Layer.provideMerge(KtTransport.layer(), engine.layer)

    it.scoped("does an operation whole or not at all", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const random = new Utils.PCGRandom(11)
        let [undone, done] = [0, 0]
        for (const [name, operation] of Object.entries(operations)) {
          const one = Effect.scoped(operation(kt))
          yield* prepare(kt)
          const before = yield* everything(kt)
          const { exit, steps } = yield* interruptedAt(Infinity, one)
          assert.isTrue(Exit.isSuccess(exit), name)
          const after = yield* everything(kt)
          const all = numbers(steps)
          const moments = Math.min(momentsOf(engine), steps)
          for (const i of numbers(moments)) {
            const step = moments === steps ? i : all.splice(random.integer(all.length), 1)[0] ?? 0
            yield* prepare(kt)
            const { exit } = yield* interruptedAt(step, one)
            const found = yield* everything(kt)
            const isDone = isDeepStrictEqual(found, after)
            deepStrictEqual([name, step, found], [name, step, isDone ? after : before])
            // Who has an answer may rely on it.
            if (Exit.isSuccess(exit)) assert.isTrue(isDone, `${name}, step ${step}`)
            if (isDone) done++
            else undone++
          }
        }
        // A test that is always too early, or too late, would say nothing.
        assert.isAbove(undone, 10)
        assert.isAbove(done, 10)
      }).pipe(Effect.provide(databases)), 60_000)

    it.scoped("loses nothing by Queue.bpop, wherever its fiber takes turns", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        let [got, kept] = [0, 0]
        // A fiber takes a turn after 2,048 operations, so with so many before it takes it at any of its own.
        const befores = engine === memory ? numbers(300).map((i) => 1800 + i) : numbers(12).map((i) => 1900 + 13 * i)
        for (const before of befores) {
          const queue = kt.Queue(`queue ${before}`)
          yield* queue.add("item")
          const popping = Effect.zipRight(
            Effect.forEach(numbers(before), () => Effect.void, { discard: true }),
            queue.bpop()
          )
          const fiber = yield* Effect.forkDaemon(popping)
          yield* Effect.yieldNow()
          const exit = yield* Fiber.interrupt(fiber)
          const left = yield* queue.peekMany(2)
          if (Exit.isSuccess(exit)) got++
          else kept++
          const items = [...left, ...Exit.isSuccess(exit) ? Option.toArray(exit.value) : []]
          deepStrictEqual([before, items], [before, ["item"]])
        }
        assert.strictEqual(got + kept, befores.length)
        assert.isAbove(kept, 0)
      }).pipe(Effect.provide(databases)), 60_000)

    it.scoped("loses nothing by Queue.bpop while it waits, and wakes another one", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const queue = kt.Queue("queue")
        for (const n of numbers(4)) {
          const waiting = yield* Effect.replicateEffect(Effect.fork(queue.bpop()), 3)
          yield* engine.turns
          const [first, second, third] = waiting
          if (first === undefined || second === undefined || third === undefined) return assert.fail()
          // The first is woken by it, and at once it is interrupted; or before it.
          if (n % 2 === 0) yield* Fiber.interrupt(first)
          yield* queue.add(`item ${n}`)
          const exit = yield* Fiber.interrupt(first)
          if (n % 2 === 0) assert.isTrue(Exit.isInterrupted(exit))
          yield* engine.turns
          // No time goes by.
          const exits = [Option.some(exit), yield* Fiber.poll(second), yield* Fiber.poll(third)].flatMap(Option.toArray)
          deepStrictEqual(exits.filter(Exit.isSuccess).map(({ value }) => value), [Option.some(`item ${n}`)])
          yield* Fiber.interruptAll(waiting)
          assert.strictEqual(yield* queue.count, 0)
        }
      }).pipe(Effect.provide(databases)), 60_000)

    it.scopedLive("loses nothing and gives nothing twice, of what many add and pop that are interrupted", () =>
      Effect.gen(function*() {
        const kt = yield* KtCompat.make()
        const queue = kt.Queue("queue")
        const random = new Utils.PCGRandom(5)
        const [added, asked, got] = [new Map<number, string>(), new Set<string>(), Array<string>()]
        const count = engine === postgres ? 12 : 40
        const adding = (n: number) =>
          Effect.forEach(numbers(10), (i) =>
            Effect.uninterruptibleMask((restore) => {
              const item = `${n}/${i}`
              asked.add(item)
              return Effect.tap(restore(queue.add(item, { score: i % 2 })), (id) => {
                assert.isFalse(added.has(id))
                added.set(id, item)
              })
            }))
        // What it has is told before anybody can interrupt it.
        const popping = Effect.forever(Effect.uninterruptibleMask((restore) =>
          Effect.map(restore(queue.bpop()), (item) =>
            void got.push(...Option.toArray(item)))
        ))
        for (const n of numbers(count)) {
          const fibers = [
            yield* Effect.fork(adding(2 * n)),
            yield* Effect.fork(adding(2 * n + 1)),
            ...yield* Effect.replicateEffect(Effect.fork(popping), 2)
          ]
          for (const fiber of fibers) {
            yield* Effect.repeatN(Effect.yieldNow(), random.integer(60))
            yield* Effect.promise(() =>
              new Promise<void>((resolve) =>
                setImmediate(resolve)
              )
            )
            yield* Fiber.interrupt(fiber)
          }
        }
        const left = yield* queue.peekMany(1e6)
        const seen = [...got, ...left]
        assert.strictEqual(new Set(seen).size, seen.length)
        for (const item of seen) assert.isTrue(asked.has(item))
        deepStrictEqual([...added.values()].filter((item) => !seen.includes(item)), [])
        // How much of it came to pass is left to chance, and to the database.
        assert.isAbove(asked.size, 0)
      }).pipe(Effect.provide(databases)), 60_000)
  })
