// Stands first in the page that the tests of other browsers open, and remembers what goes wrong.
self.problems = [];
const told = console.error;
console.error = (...words) => {
  self.problems.push(`console: ${words.join(" ")}`);
  told(...words);
};
addEventListener("error", ({ target, message }) => self.problems.push(`error: ${message ?? target.outerHTML}`), true);
addEventListener("unhandledrejection", ({ reason }) => self.problems.push(`rejected: ${reason}`));
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => self.problems.push(`policy: ${violatedDirective} blocked ${blockedURI}`));
