import { kinds } from "./engines.js"
import { suite } from "./suites/ktInterruption.js"

for (const engine of kinds) suite(engine)
