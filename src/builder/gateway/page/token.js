// The token, where the gateway wants one: from the address (#token=...), which browsers send to
// nobody, or typed in; kept until the tab is closed.

const KEY = "framewire.token";

export function knownToken() {
  // Not through URLSearchParams, which reads a + as a space.
  const given = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (given) {
    sessionStorage.setItem(KEY, decodeURIComponent(given));
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(KEY) ?? "";
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}
