import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { KtCompat } from "effect-kv"
import { kinds } from "./engines.js"
import { suite } from "./suites/ktMatching.js"

for (const engine of kinds) suite(engine)

it.effect("U61, U62: others have their turn while many keys are looked at", () =>
  Effect.gen(function*() {
    const kt = yield* KtCompat.KtCompat
    yield* kt.setBulk(Array.from({ length: 4000 }, (_, i) => [`${"ab".repeat(500)}${i}`, ""] as const))
    let turns = 0
    const ticking = yield* Effect.fork(
      Effect.forever(Effect.promise(() => new Promise<void>((resolve) => setImmediate(() => resolve(void turns++)))))
    )
    // Reading the keys takes turns too.
    yield* kt.keysNonlazy()
    const reading = turns
    yield* kt.matchRegex("(a|b)*[xyz]$")
    const regex = turns
    yield* kt.matchSimilar("ba".repeat(500), { distance: 30 })
    yield* Fiber.interrupt(ticking)
    assert.isAbove(regex - reading, reading)
    assert.isAbove(turns - regex, reading)
  }).pipe(Effect.provide(KtCompat.layerMemory)))
