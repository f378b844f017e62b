// What the pages do beyond links and forms. Everything works without it.
"use strict";

// The reader's time zone, for the next page. The server cannot know it.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone) {
    return;
  }
  const name = "__Host-portcullis-zone";
  const known = document.cookie.split("; ").includes(`${name}=${zone}`);
  if (known) {
    return;
  }
  document.cookie = `${name}=${zone}; Path=/; Max-Age=31536000; Secure; SameSite=Lax`;
})();

// A choice of language or theme takes effect at once.
for (const select of document.querySelectorAll(".choosers select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// A form is sent once, however often its button is pressed. The server would answer a second one in the same way.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "true";
  });
}

// A page from the browser's memory has forms that were sent. They may be sent again.
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
    }
  }
});

// Live receipts: each message is a sentence in the reader's language.
for (const receipt of document.querySelectorAll("[data-receipt]")) {
  const source = new EventSource(receipt.dataset.receipt);
  source.addEventListener("receipt", (event) => {
    receipt.textContent = event.data;
  });
  source.addEventListener("complete", (event) => {
    receipt.textContent = event.data;
    receipt.dataset.complete = "true";
    source.close();
  });
  source.addEventListener("error", () => {
    // The sentence that the page came with stays. A server that refuses is not asked again.
    if (source.readyState === EventSource.CLOSED) {
      source.close();
    }
  });
}
