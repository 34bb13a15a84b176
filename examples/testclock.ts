/**
 * How expiry is tested: the store is in memory, and the time is what the test says. Nothing waits.
 *
 *     npx tsx examples/testclock.ts
 */
import { Console, Duration, Effect, Layer, Option, Schema, TestClock, TestContext } from "effect"
import { Storage, TtlStore } from "effect-kv"
import * as assert from "node:assert/strict"

class Codes extends TtlStore.Tag<Codes>()("app/Codes", {
  keyspace: "codes",
  timeToLive: "10 minutes",
  value: Schema.NonEmptyString
}) {}

const expires = Effect.gen(function*() {
  const codes = yield* Codes
  yield* codes.set("ada", "4711")

  yield* TestClock.adjust("9 minutes")
  assert.deepEqual(yield* codes.get("ada"), Option.some("4711"))
  yield* TestClock.adjust("1 minute")
  assert.deepEqual(yield* codes.get("ada"), Option.none())
})

const slides = Effect.gen(function*() {
  const codes = yield* Codes
  yield* codes.set("ada", "4711")
  yield* codes.set("bob", "0815")

  yield* TestClock.adjust("9 minutes")
  assert.equal(yield* codes.touch("ada"), true)
  yield* TestClock.adjust("9 minutes")
  assert.deepEqual(yield* codes.toMap(), new Map([["ada", "4711"]]))
  const left = yield* codes.ttl("ada")
  assert.equal(left._tag === "Remaining" && Duration.toMinutes(left.timeToLive), 1)
})

const computesAgain = Effect.gen(function*() {
  const codes = yield* Codes
  let computed = 0
  const code = codes.getOrSet("ada", Effect.sync(() => String(++computed)))

  assert.equal(yield* code, "1")
  assert.equal(yield* code, "1")
  yield* TestClock.adjust("10 minutes")
  assert.equal(yield* code, "2")
})

const isSwept = Effect.gen(function*() {
  const codes = yield* Codes
  yield* codes.set("ada", "4711")

  // Expired is absent, but its room is not free before somebody sweeps.
  yield* TestClock.adjust("10 minutes")
  assert.equal(yield* codes.size(), 0)
  assert.equal(yield* codes.sweep, 1)

  // The sweeper has been there in the meantime, so there is nothing left to do.
  yield* codes.set("bob", "0815")
  yield* TestClock.adjust("1 hour")
  assert.equal(yield* codes.sweep, 0)
})

// Built anew for each test, and inside of `TestContext`, so that the sweeper has the test's clock, too. A TestClock stops
// at each sweep, so who tests days sweeps seldom.
const inMemory = Layer.merge(Codes.layer, TtlStore.sweeper({ interval: "1 hour" })).pipe(
  Layer.provide(Storage.layerMemory)
)

const run = <E>(name: string, test: Effect.Effect<void, E, Codes>) =>
  test.pipe(
    Effect.provide(inMemory),
    Effect.provide(TestContext.TestContext),
    Effect.zipRight(Console.log(`${name}: passed`))
  )

Effect.runPromise(Effect.all([
  run("a code expires", expires),
  run("a touched code lives on", slides),
  run("an expired code is computed again", computesAgain),
  run("expired codes are swept", isSwept)
]))
