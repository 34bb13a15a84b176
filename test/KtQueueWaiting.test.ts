import { kinds } from "./engines.js"
import { suite } from "./suites/ktQueueWaiting.js"

for (const engine of kinds) suite(engine)
