/**
 * Sessions that end when nobody uses them, at the latest at a time that is fixed when they begin, and on all devices at
 * once. A month passes on a `TestClock`, so it takes no time.
 *
 *     npx tsx examples/sessions.ts
 */
import { Console, Context, DateTime, Effect, Layer, Option, Schema, TestClock, TestContext } from "effect"
import { Sqlite, Storage, TtlStore } from "effect-kv"
import { randomUUID } from "node:crypto"

// --- the service, as a program has it

const UserId = Schema.String.pipe(Schema.pattern(/^\w+$/), Schema.brand("UserId"))
const Kind = Schema.Literal("browser", "remembered")

/** Stored, and sent as a cookie, as "ada/browser/9f1c...". The kind is in it because it says how to touch. */
const SessionId = Schema.TemplateLiteralParser(UserId, "/", Kind, "/", Schema.UUID).pipe(Schema.brand("SessionId"))
/** What is left of it in the view of one user. */
const InUser = Schema.TemplateLiteralParser(Kind, "/", Schema.UUID)

/** How long a session lasts without a request, and how long at most. */
const lives = {
  browser: { idle: "30 minutes", most: "12 hours" },
  remembered: { idle: "14 days", most: "60 days" }
} as const

class Store extends TtlStore.Tag<Store>()("sessions/Store", {
  key: SessionId,
  keyspace: "sessions",
  value: Schema.Struct({ device: Schema.String, ends: Schema.DateTimeUtc })
}) {}

const make = Effect.map(Store, (store) => ({
  /** Begins a session; its id is the secret of whoever has it. */
  signIn: (user: typeof UserId.Type, kind: typeof Kind.Type, device: string) =>
    Effect.gen(function*() {
      const id = SessionId.make([user, "/", kind, "/", randomUUID()])
      const ends = DateTime.addDuration(yield* DateTime.now, lives[kind].most)
      yield* store.set(id, { device, ends }, { timeToLive: lives[kind].idle })
      return id
    }),

  /** The session of a request, which begins its idle time anew, but never past its end. */
  request: (id: typeof SessionId.Type) =>
    store.transaction(Effect.gen(function*() {
      const session = yield* store.getAndTouch(id, lives[id[2]].idle)
      if (Option.isSome(session)) yield* store.expireAt(id, session.value.ends, { onlyIf: "earlier" })
      return session
    })),

  signOut: store.remove,

  /** Ends all sessions of a user; tells how many there were. */
  signOutEverywhere: (user: typeof UserId.Type) => store.prefix(`${user}/`, { key: InUser }).clear()
}))

class Sessions extends Context.Tag("sessions/Sessions")<Sessions, Effect.Effect.Success<typeof make>>() {
  static readonly layer = Layer.effect(Sessions, make)
}

// --- a month in the life of two users

const program = Effect.gen(function*() {
  const sessions = yield* Sessions
  const [ada, bob] = [UserId.make("ada"), UserId.make("bob")]
  const show = (what: string, id: typeof SessionId.Type) =>
    Effect.flatMap(
      sessions.request(id),
      (session) => Console.log(`${what}: ${Option.isSome(session) ? session.value.device : "signed out"}`)
    )

  const laptop = yield* sessions.signIn(ada, "browser", "laptop")
  const phone = yield* sessions.signIn(ada, "remembered", "phone")
  const desk = yield* sessions.signIn(bob, "remembered", "desk")
  for (let request = 0; request < 24; request++) {
    yield* TestClock.adjust("29 minutes")
    yield* sessions.request(laptop)
  }
  yield* show("busy for 11 hours", laptop)
  yield* TestClock.adjust("29 minutes")
  yield* show("busy for 12 hours", laptop)
  yield* TestClock.adjust("13 days")
  yield* show("remembered, after 13 days", phone)
  yield* TestClock.adjust("13 days")
  yield* show("remembered, after 13 more", phone)
  yield* show("the other user, idle for 26 days", desk)

  yield* sessions.signIn(ada, "browser", "laptop")
  yield* Console.log(`signed out everywhere: ${yield* sessions.signOutEverywhere(ada)} sessions`)
  yield* show("afterwards", phone)
})

// A program has a file here, and Effect's own clock. It sweeps once a minute, for which a month is too long.
const Live = Sessions.layer.pipe(
  Layer.provide(Store.layer),
  Layer.provide(Storage.layer({ sweep: false })),
  Layer.provide(Sqlite.layer({ filename: ":memory:" }))
)

program.pipe(Effect.provide(Live), Effect.provide(TestContext.TestContext), Effect.runPromise)
