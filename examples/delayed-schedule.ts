/**
 * Reminders at their time: a schedule of items, and a worker that sleeps until the next is due, or until an earlier one
 * is added. The clock is a test's, so a day takes no time.
 *
 *     npx tsx examples/delayed-schedule.ts
 */
import { Console, DateTime, Duration, Effect, Fiber, Schema, TestClock, TestContext } from "effect"
import { KtCompat } from "effect-kv"

const Reminder = Schema.Struct({ due: Schema.DateTimeUtc, text: Schema.String })

class Reminders extends KtCompat.Tag<Reminders>()("reminders/Reminders", { value: Reminder }) {}

/** Signalled when there is a new reminder. */
const added = "reminders added"

const remind = (text: string, after: Duration.DurationInput) =>
  Effect.gen(function*() {
    const kt = yield* Reminders
    const due = DateTime.addDuration(yield* DateTime.now, after)
    yield* kt.Schedule("reminders").add({ due, text }, due)
    yield* kt.signal(added)
  })

const show = (what: string) =>
  Effect.flatMap(DateTime.now, (now) => Console.log(`${DateTime.formatIso(now).slice(11, 16)} ${what}`))

/** Ends when there are no reminders left. */
const worker = Effect.gen(function*() {
  const kt = yield* Reminders
  const schedule = kt.Schedule("reminders")
  for (;;) {
    // Each goes to one worker only, however many there are.
    for (const { text } of yield* schedule.read({ due: yield* DateTime.now })) yield* show(text)
    const [next] = yield* schedule.items(1)
    if (next === undefined) return yield* show("nothing is left")
    // Another process does not hear the signal: so look again after an hour at the latest.
    const left = DateTime.distanceDuration(yield* DateTime.now, next.due)
    yield* kt.wait(added, Duration.min(left, "1 hour"))
  }
})

const program = Effect.gen(function*() {
  yield* remind("water the flowers", "8 hours")
  yield* remind("call the dentist", "90 minutes")
  yield* remind("take the bread out", "40 minutes")
  const working = yield* Effect.fork(worker)
  yield* show("three reminders")

  yield* TestClock.adjust("1 hour")
  yield* show("one more, which is the next")
  yield* remind("drink some tea", "10 minutes")
  yield* TestClock.adjust("1 day")
  yield* Fiber.join(working)
})

program.pipe(Effect.provide(Reminders.layerMemory), Effect.provide(TestContext.TestContext), Effect.runPromise)
