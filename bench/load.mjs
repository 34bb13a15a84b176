// Imports as from this folder, whose packages what is compiled elsewhere does not find.
export const load = (name) => import(name);
