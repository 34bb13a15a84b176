/**
 * Durations that a user gives: what is none is an error of the call, and not a throw or a zero.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { Fault } from "./fault.js"

/**
 * How a value that a user gave is shown to them.
 *
 * @internal
 */
export const shown = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value)
  try {
    return String(value)
  } catch {
    return `an ${typeof value}`
  }
}

/**
 * Milliseconds; or what is wrong with the input.
 *
 * @internal
 */
export const parseDuration = (input: Duration.DurationInput): Either.Either<number, string> => {
  const issue = Either.left(
    `${shown(input)} is no duration; give a Duration, milliseconds, or text such as "30 minutes"`
  )
  // `Duration.decode` takes it for zero.
  if (Number.isNaN(input) || (Array.isArray(input) && input.some(Number.isNaN))) return issue
  try {
    return Either.right(Duration.toMillis(Duration.decode(input)))
  } catch {
    return issue
  }
}

/**
 * A setting of a layer.
 *
 * @internal
 */
export const durationSetting = (
  name: string,
  input: Duration.DurationInput,
  least = 0
): Effect.Effect<Duration.Duration, Fault> =>
  Effect.mapBoth(
    Either.filterOrLeft(
      parseDuration(input),
      (millis) => millis >= least,
      () => `${shown(input)} is too short; give at least ${least} milliseconds`
    ),
    {
      onFailure: (issue) => new Fault("InvalidValue", `${name}: ${issue}`),
      onSuccess: Duration.millis
    }
  )
