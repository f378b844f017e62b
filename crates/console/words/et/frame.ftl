# Mis on igal lehel.

frame-product = Portcullis
frame-skip = Otse sisu juurde
frame-navigation = Peamenüü
frame-signed-in-as = Sisse logitud:
frame-zone = Kellaajad on vööndis { $zone }.
frame-language = Keel
frame-theme = Kujundus
frame-theme-auto = Nagu süsteemis
frame-theme-light = Hele
frame-theme-dark = Tume
frame-apply = Rakenda

frame-room-mine = Minu seansid
frame-room-team = Meeskond
frame-room-settings = Seaded
frame-room-api-sessions = API seansid
frame-room-audit = Auditilogi
frame-room-gates = Väravad

frame-cancel = Loobu
frame-back = Tagasi
frame-refresh = Värskenda
frame-next-page = Järgmine leht
frame-first-page = Esimene leht
frame-unknown = Teadmata
frame-none = Puudub

frame-time-now = äsja
frame-time-minutes-ago = { $count ->
    [one] { $count } minut tagasi
   *[other] { $count } minutit tagasi
}
frame-time-hours-ago = { $count ->
    [one] { $count } tund tagasi
   *[other] { $count } tundi tagasi
}
frame-time-days-ago = { $count ->
    [one] { $count } päev tagasi
   *[other] { $count } päeva tagasi
}
frame-time-in-minutes = { $count ->
    [one] { $count } minuti pärast
   *[other] { $count } minuti pärast
}
frame-time-in-hours = { $count ->
    [one] { $count } tunni pärast
   *[other] { $count } tunni pärast
}
frame-time-in-days = { $count ->
    [one] { $count } päeva pärast
   *[other] { $count } päeva pärast
}
frame-length-seconds = { $count ->
    [one] { $count } sekund
   *[other] { $count } sekundit
}
frame-length-minutes = { $count ->
    [one] { $count } minut
   *[other] { $count } minutit
}
frame-length-hours = { $count ->
    [one] { $count } tund
   *[other] { $count } tundi
}
frame-length-days = { $count ->
    [one] { $count } päev
   *[other] { $count } päeva
}

frame-receipt = { $gates ->
    [0] Ükski värav pole ühendatud. Kus mõni ühendub, seal keeldutakse.
    [one] { $dropped } värav { $gates }-st on selle sulgenud, { $milliseconds } ms pärast käsku.
   *[other] { $dropped } väravat { $gates }-st on selle sulgenud, { $milliseconds } ms pärast käsku.
}
frame-receipt-complete = { $gates ->
    [0] Ükski värav pole ühendatud. Kus mõni ühendub, seal keeldutakse.
    [one] Värav sulges selle { $milliseconds } ms jooksul.
   *[other] Kõik { $gates } väravat sulgesid selle { $milliseconds } ms jooksul.
}

frame-receipt-all = { $gates ->
    [0] Ükski värav pole ühendatud. Kus mõni ühendub, seal keeldutakse.
    [one] Värav on selle sulgenud.
   *[other] Kõik { $gates } väravat on selle sulgenud.
}

frame-problem-sign-in = Palun logige uuesti sisse
frame-problem-sign-in-advice = Teie seanss ei kehti enam või on aegunud. Midagi ei muudetud. Logige sisse ja tulete siia lehele tagasi.
frame-problem-sign-in-link = Logi sisse
frame-problem-recent = Palun kinnitage, et see olete teie
frame-problem-recent-advice = Teie organisatsioon nõuab selleks värsket sisselogimist. Midagi ei muudetud. Logige uuesti sisse ja tulete siia lehele tagasi.
frame-problem-ended = See seanss on lõppenud
frame-problem-ended-advice = Midagi ei muudetud. Järgmine leht ütleb, kuidas seanss lõppes ja mida saate teha.
frame-problem-ended-link = Vaata, miks
frame-problem-denied = Teil pole selleks õigust
frame-problem-denied-advice = Teie roll seda ei hõlma. Midagi ei muudetud. Küsige oma organisatsiooni administraatorilt.
frame-problem-forbidden = Teie organisatsioon ei luba seda
frame-problem-forbidden-advice = Organisatsiooni seade keelab selle. Midagi ei muudetud. Küsige administraatorilt.
frame-problem-foreign = See päring tuli teiselt saidilt
frame-problem-foreign-advice = Midagi ei muudetud. Kui soovisite seda, tehke seda selle konsooli lehel.
frame-problem-outdated = See vorm on aegunud
frame-problem-outdated-advice = See kuulub teisele seansile või avati enne uuendust. Midagi ei muudetud. Avage leht uuesti ja korrake.
frame-problem-not-found = Siin pole midagi
frame-problem-not-found-advice = Aadress on vale, siin olnu on eemaldatud või pole see teile nähtav.
frame-problem-method = Sel aadressil pole sellist vormi
frame-problem-method-advice = Avage kõigepealt leht ja kasutage selle nuppe.
frame-problem-invalid = Sellest ei saa aru
frame-problem-invalid-advice = Mõne välja või aadressi väärtus ei sobi. Midagi ei muudetud. Minge tagasi, parandage ja saatke uuesti.
frame-problem-too-large = Tekst on liiga pikk
frame-problem-too-large-advice = Midagi ei muudetud. Minge tagasi, lühendage ja saatke uuesti.
frame-problem-conflict = Keegi jõudis ette
frame-problem-conflict-advice = Seda on pärast lehe avamist muudetud. Praegu midagi ei muudetud. Avage leht uuesti, et näha, kuidas on.
frame-problem-old-page = See loend on edasi läinud
frame-problem-old-page-advice = Leht on varasemast loendist. Alustage esimesest lehest.
frame-problem-last-administrator = Keegi peab administraatoriks jääma
frame-problem-last-administrator-advice = Teie organisatsioon jääks ilma administraatorita. Midagi ei muudetud. Määrake enne keegi teine administraatoriks.
frame-problem-own-account = Mitte oma kontoga
frame-problem-own-account-advice = Administraator ei saa ennast keelata ega oma rolle muuta. Midagi ei muudetud. Paluge teist administraatorit.
frame-problem-too-many = Liiga palju päringuid
frame-problem-too-many-advice = Midagi ei muudetud. Oodake mõni sekund ja proovige uuesti.
frame-problem-too-slow = See otsing võtab liiga kaua
frame-problem-too-slow-advice = Midagi ei muudetud. Kitsendage seda, näiteks nime või lühema ajaga.
frame-problem-away = Sisselogimisteenus ei vasta
frame-problem-away-advice = Sellega ei saa praegu ühendust. Seansid jäävad nii, nagu on. See leht proovib iga paari sekundi järel ise uuesti.
frame-problem-away-form-advice = See ei vasta praegu, seega pole teada, kas muudatus tehti. Avage leht uuesti, et näha. Kordamine ei tee kahju.
frame-problem-again-link = Proovi uuesti
frame-problem-internal = Midagi läks valesti
frame-problem-internal-advice = See on konsooli või sisselogimisteenuse viga ja pandi kirja. Enne kordamist vaadake, mis muutus.
frame-problem-home-link = Minu seansside juurde
