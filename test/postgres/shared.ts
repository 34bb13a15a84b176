/** The server that all tests of a run share. */
import { describe } from "@effect/vitest"
import { Effect } from "effect"
import { inject } from "vitest"
import * as databases from "./databases.js"

const postgres = inject("postgres")

/** Why there is no server; undefined if there is one. */
export const unavailable = "unavailable" in postgres ? postgres.unavailable : undefined

/** Why there is no `freshDatabase`; undefined if there is. */
export const databasesUnavailable = "unavailable" in postgres
  ? postgres.unavailable
  : postgres.databases
  ? undefined
  : "the server is older than PostgreSQL 15, or does not let its user create databases"

const url = Effect.suspend(() =>
  "url" in postgres
    ? Effect.succeed(postgres.url)
    : Effect.dieMessage(`There is no PostgreSQL: ${postgres.unavailable}`)
)

/** `freshSchema` of databases.ts, on the shared server. */
export const freshSchema = Effect.flatMap(url, databases.freshSchema)

/** `freshDatabase` of databases.ts, on the shared server. */
export const freshDatabase = Effect.flatMap(url, databases.freshDatabase)

/** `describe`, skipped with its reason in its name if there is one. */
export const describeUnless = (reason: string | undefined, name: string, tests: () => void) =>
  describe.skipIf(reason !== undefined)(reason === undefined ? name : `${name} (skipped: ${reason})`, tests)
