/**
 * How a service that stands on a store is tested: the same layer, over memory instead of SQLite.
 *
 *     npx tsx examples/testing.ts
 */
import { Console, Context, Data, Effect, Layer, Option, Schema } from "effect"
import { KeyValueStore } from "effect-kv"
import * as assert from "node:assert/strict"

// --- the store and the service, as the program has them

class Invited extends KeyValueStore.Tag<Invited>()("app/Invited", {
  keyspace: "invited",
  value: Schema.Struct({ name: Schema.NonEmptyString })
}) {}

class UnknownCode extends Data.TaggedError("UnknownCode")<{ readonly code: string }> {}

/** Invitations that can be used once. */
class Invitations extends Context.Tag("app/Invitations")<Invitations, {
  readonly invite: (code: string, name: string) => Effect.Effect<boolean, KeyValueStore.Failure>
  readonly accept: (code: string) => Effect.Effect<string, KeyValueStore.Failure | UnknownCode>
}>() {
  static readonly layer = Layer.effect(
    Invitations,
    Effect.map(Invited, (invited) => ({
      accept: (code) =>
        Effect.flatMap(
          invited.take(code),
          Option.match({
            onNone: () => Effect.fail(new UnknownCode({ code })),
            onSome: ({ name }) => Effect.succeed(name)
          })
        ),
      invite: (code, name) => invited.insert(code, { name })
    }))
  )
}

// --- the test: a store in memory of its own for each `Effect.provide`

const inMemory = Invitations.layer.pipe(Layer.provide(Invited.layerMemory))

const worksOnce = Effect.gen(function*() {
  const invitations = yield* Invitations
  assert.equal(yield* invitations.invite("x1", "Ada"), true)
  assert.equal(yield* invitations.invite("x1", "Bob"), false)

  // Ten at once: one of them gets it.
  const answers = yield* Effect.all(Array.from({ length: 10 }, () => Effect.option(invitations.accept("x1"))), {
    concurrency: "unbounded"
  })
  assert.deepEqual(answers.flatMap(Option.toArray), ["Ada"])
})

const isStrict = Effect.gen(function*() {
  const invitations = yield* Invitations
  const unknown = yield* Effect.flip(invitations.accept("x1"))
  assert.equal(unknown._tag, "UnknownCode")
  const nameless = yield* Effect.flip(invitations.invite("x2", ""))
  assert.equal(nameless._tag, "CodecError")
})

const run = <E>(name: string, test: Effect.Effect<void, E, Invitations>) =>
  Effect.zipRight(Effect.provide(test, inMemory), Console.log(`${name}: passed`))

Effect.runPromise(Effect.all([run("an invitation works once", worksOnce), run("bad input is refused", isStrict)]))
