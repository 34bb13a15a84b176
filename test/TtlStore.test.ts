import { engines } from "./engines.js"
import * as keyValueStore from "./suites/keyValueStore.js"
import { suite } from "./suites/ttlStore.js"

for (const engine of engines) {
  keyValueStore.suite(engine, keyValueStore.ttlStore)
  suite(engine)
}
