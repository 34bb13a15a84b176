/**
 * The methods of a `Schedule`.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Due, Schedule } from "../../KtCompat.js"
import type { KtError } from "../../KtError.js"
import { andThen } from "../done.js"
import { greatestNumber } from "../kt/itemKeys.js"
import { call, type Container, counted, listed, type Parameters, valueIn, whole } from "./containers.js"
import { takenItems, withoutTab } from "./queue.js"

/** A time has whole seconds: it is rounded so that nothing is given out before it is due. */
const dueOf = (
  method: string,
  due: Due | undefined,
  otherwise: number,
  round: (seconds: number) => number
): Exit.Exit<number, KtError> => {
  const score = due === undefined ? otherwise : DateTime.isDateTime(due) ? round(due.epochMillis / 1000) : due
  return Exit.as(whole(method, "a time", score, 0, greatestNumber), score)
}

/** @internal */
export const makeSchedule = <A>(place: Container<A>): Schedule<A> => {
  const container = { ...place, key: withoutTab("Schedule", place.key) }
  const { at, values } = container
  const ask = (name: string, own: string, parameters?: Parameters) => call(container, name, own, parameters)
  // What does not depend on what is before the numbers is the same for a queue.
  const asQueue = (name: string) => counted(Effect.suspend(() => ask(name, "queue")))
  return {
    add: (item, due) =>
      Effect.flatMap(
        dueOf("Schedule.add", due, 0, Math.ceil),
        (score) =>
          andThen(values.encode(item, at), (value) =>
            Effect.flatMap(ask("schedule_add", "key", { score, value }), (pairs) => valueIn(pairs, "key")))
      ),
    clear: asQueue("queue_clear"),
    count: asQueue("queue_size"),
    items: (n) =>
      andThen(
        whole("Schedule.items", "how many", n, 0),
        () => Effect.flatMap(ask("queue_peek", "queue", { n: n ?? -1 }), (pairs) => listed(container, pairs))
      ),
    read: ({ due, n } = {}) =>
      andThen(
        whole("Schedule.read", "how many", n, 0),
        () =>
          andThen(dueOf("Schedule.read", due, greatestNumber, Math.floor), (score) =>
            takenItems(container, () => ask("schedule_read", "key", { keys: "told", n, score })))
      )
  }
}
