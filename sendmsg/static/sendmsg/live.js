// Reads the middle of the page again every few seconds, while somebody looks at it.
"use strict";
{
    const live = document.getElementById("live");
    const refresh = async () => {
        if (document.hidden || live.matches(":focus-within")) return;
        try {
            const answer = await fetch(live.dataset.url, {signal: AbortSignal.timeout(10000)});
            if (answer.redirected || answer.status === 403) {  // logged out
                location.reload();
            } else if (answer.ok) {
                live.innerHTML = await answer.text();
            } else {
                throw new Error(answer.status);
            }
        } catch {
            const away = document.getElementById("away");
            if (away) away.hidden = false;
        }
    };
    setInterval(refresh, live.dataset.seconds * 1000);
    document.addEventListener("visibilitychange", refresh);
}
