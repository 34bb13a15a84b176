/**
 * Negative caching: that something is not there is an answer as well, which is kept for a short while. That the database
 * is down is not, and is not kept. When it turns up, it is found at once: its answer is invalidated by a tag.
 *
 *     npx tsx examples/negative-caching.ts
 */
import { Console, Data, Effect, Exit, Schema } from "effect"
import { Memoize, Storage } from "effect-kv"

class UserNotFound extends Schema.TaggedError<UserNotFound>()("UserNotFound", { id: Schema.String }) {}
class DatabaseDown extends Data.TaggedError("DatabaseDown") {}

const User = Schema.Struct({ name: Schema.String, org: Schema.String })

/** Stands for a table of users. */
const users = new Map([["ada", { name: "Ada Lovelace", org: "engines" }]])
let queries = 0
let isDown = false

class FindUser extends Memoize.Tag<FindUser>()("app/FindUser", {
  args: Schema.Tuple(Schema.String),
  success: User,
  // Of the two failures this one is kept.
  failure: UserNotFound,
  timeToLive: (exit) => Exit.isSuccess(exit) ? "10 minutes" : "30 seconds",
  tags: (_args, user) => [`org:${user.org}`]
}, (id) =>
  Effect.gen(function*() {
    queries++
    if (isDown) return yield* new DatabaseDown()
    return users.get(id) ?? (yield* new UserNotFound({ id }))
  }))
{}

const program = Effect.gen(function*() {
  const findUser = yield* FindUser
  const find = (id: string) =>
    Effect.flatMap(Effect.exit(findUser(id)), (exit) =>
      Console.log(
        `${id}: ${
          Exit.match(exit, {
            onFailure: (cause) => (cause._tag === "Fail" ? cause.error._tag : "?"),
            onSuccess: (user) => user.name
          })
        }, ${queries} queries`
      ))

  yield* find("bob")
  yield* find("bob")

  users.set("bob", { name: "Bob Ross", org: "easels" })
  yield* findUser.invalidate("bob")
  yield* find("bob")

  yield* find("ada")
  users.set("ada", { name: "Ada King", org: "engines" })
  yield* Memoize.invalidateTag("org:engines")
  yield* find("ada")

  isDown = true
  yield* find("eve")
  isDown = false
  yield* find("eve")
  yield* find("ada")
})

program.pipe(Effect.provide(FindUser.layer), Effect.provide(Storage.layerMemory), Effect.runPromise)
