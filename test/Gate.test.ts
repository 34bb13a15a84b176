import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Exit, Fiber, identity } from "effect"
import { acquire, Gate, hold } from "../src/internal/storage/gate.js"

const taking = (gate: Gate, millis = 1000) =>
  Effect.uninterruptibleMask((restore) => acquire(gate, { millis, onTimeout: () => "too late" as const, restore }))

const holding = <A, E>(gate: Gate, self: Effect.Effect<A, E>) =>
  Effect.uninterruptibleMask((restore) =>
    hold<A, E, never, A, E | "too late">(
      gate,
      () => self,
      { onFailure: Effect.failCause, onSuccess: Effect.succeed },
      () => ({ millis: 1000, onTimeout: () => "too late", restore })
    )
  )

describe("the gate", () => {
  it.live("lets those in line in one after the other, in their order", () =>
    Effect.gen(function*() {
      const gate = new Gate()
      const seen: Array<number> = []
      let inside = 0
      gate.tryAcquire()
      const fibers = yield* Effect.forEach([1, 2, 3, 4], (n) =>
        Effect.fork(holding(
          gate,
          Effect.gen(function*() {
            assert.strictEqual(++inside, 1)
            yield* Effect.yieldNow()
            seen.push(n)
            inside--
          })
        )))
      yield* Effect.yieldNow()
      gate.release()
      yield* Fiber.joinAll(fibers)
      deepStrictEqual(seen, [1, 2, 3, 4])
    }))

  it.live("is overtaken only so many times in a row", () =>
    Effect.gen(function*() {
      const gate = new Gate()
      gate.tryAcquire()
      const fiber = yield* Effect.fork(taking(gate))
      yield* Effect.yieldNow()
      gate.release()
      // In one turn of the event loop, in which nobody else can run.
      let overtakes = 0
      while (gate.tryAcquire() && overtakes < 10_000) {
        overtakes++
        gate.release()
      }
      assert.isAbove(overtakes, 0)
      assert.isBelow(overtakes, 1000)
      yield* Fiber.join(fiber)
    }))

  it.live("is not lost by those who are interrupted or give up", () =>
    Effect.gen(function*() {
      for (let steps = 0; steps < 20; steps++) {
        const gate = new Gate()
        gate.tryAcquire()
        const gone = yield* Effect.fork(holding(gate, Effect.void))
        const late = yield* Effect.fork(Effect.flip(taking(gate, 1)))
        assert.strictEqual(yield* Fiber.join(late), "too late")
        const interrupting = yield* Effect.fork(Fiber.interrupt(gone))
        for (let i = 0; i < steps; i++) yield* Effect.yieldNow()
        gate.release()
        yield* Fiber.join(interrupting)
        yield* taking(gate)
      }
    }))

  it.live("is free again after a failure, a defect and a throw", () =>
    Effect.gen(function*() {
      const gate = new Gate()
      assert.isTrue(Exit.isFailure(yield* Effect.exit(holding(gate, Effect.fail("no")))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(holding(gate, Effect.die("bug")))))
      const thrown = yield* Effect.exit(hold(
        gate,
        () => {
          throw new Error("boom")
        },
        { onFailure: Effect.failCause, onSuccess: Effect.succeed },
        () => ({ millis: 1, onTimeout: () => "too late", restore: identity })
      ))
      assert.isTrue(Exit.isFailure(thrown) && thrown.cause._tag === "Die")
      assert.isTrue(gate.tryAcquire())
    }))
})
