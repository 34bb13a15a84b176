/**
 * A slow API, memoised: callers at the same time share one request, an old answer is given at once while a new one is
 * fetched, and when the API is down the old answer stands in. The clock is a test's, so nothing waits.
 *
 *     npx tsx examples/slow-api.ts
 */
import { Console, Data, Effect, Fiber, Schema, TestClock, TestContext } from "effect"
import { Memoize, Storage } from "effect-kv"

class ApiDown extends Data.TaggedError("ApiDown")<{ readonly city: string }> {}

/** Stands for a weather service that takes 2 seconds, and counts its requests. */
let requests = 0
let isUp = true
const fetchWeather = (city: string) =>
  Effect.gen(function*() {
    requests++
    yield* Effect.sleep("2 seconds")
    return isUp ? { city, degrees: 10 + requests } : yield* new ApiDown({ city })
  })

const program = Effect.gen(function*() {
  const weather = yield* Memoize.make({
    name: "weather",
    args: Schema.Tuple(Schema.String),
    success: Schema.Struct({ city: Schema.String, degrees: Schema.Number }),
    timeToLive: "10 minutes",
    staleWhileRevalidate: "5 minutes",
    staleIfError: "1 day",
    backOff: "1 minute"
  }, fetchWeather)

  const show = (when: string) =>
    Effect.flatMap(weather("Bern"), ({ degrees }) => Console.log(`${when}: ${degrees} degrees, ${requests} requests`))

  const callers = yield* Effect.fork(Effect.forEach(Array(1000), () => weather("Bern"), { concurrency: "unbounded" }))
  yield* TestClock.adjust("2 seconds")
  yield* Fiber.join(callers)
  yield* show("after 1000 callers at once")

  yield* TestClock.adjust("11 minutes")
  yield* show("stale, answered at once")
  yield* TestClock.adjust("2 seconds")
  yield* show("refreshed behind it")

  isUp = false
  yield* TestClock.adjust("1 hour")
  const caller = yield* Effect.fork(show("the API is down"))
  yield* TestClock.adjust("2 seconds")
  yield* Fiber.join(caller)
  yield* show("and is left alone for a minute")
})

program.pipe(
  Effect.scoped,
  Effect.provide(Storage.layerMemory),
  Effect.provide(TestContext.TestContext),
  Effect.runPromise
)
