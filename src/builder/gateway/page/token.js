// The token, where the gateway wants one: from the address (#token=...), which browsers send to
// nobody, or typed in; kept until the tab is closed.

const KEY = "framewire.token";

export function knownToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(KEY) ?? "";
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}
