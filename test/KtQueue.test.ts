import { kinds } from "./engines.js"
import { suite } from "./suites/ktQueue.js"

for (const engine of kinds) suite(engine)
