import { engines, kinds } from "./engines.js"
import * as keyValueStore from "./suites/keyValueStore.js"
import { suite } from "./suites/ttlStore.js"

for (const engine of kinds) keyValueStore.suite(engine, keyValueStore.ttlStore)
for (const engine of engines) suite(engine)
