import { kinds } from "./engines.js"
import { suite } from "./suites/ktFibers.js"

for (const engine of kinds) suite(engine)
