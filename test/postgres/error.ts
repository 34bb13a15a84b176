import { Data, Effect } from "effect"

export class PostgresError extends Data.TaggedError("PostgresError")<{ readonly message: string }> {}

export const failed = (what: string, complaints: ReadonlyArray<string>) =>
  new PostgresError({ message: [what, ...complaints].join("\n") })

export const attempt = <A>(failure: string, evaluate: () => A) =>
  Effect.try({ catch: (cause) => failed(failure, [String(cause)]), try: evaluate })
