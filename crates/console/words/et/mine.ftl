# Inimese enda seansid.

mine-title = Minu seansid
mine-lead = Kõik kohad, kus olete sisse logitud. Kui te mõnda ei tunne, logige see välja ja vahetage parool.
mine-back = Kõik minu seansid
mine-pages = Rohkem seansse
mine-this-session = See seanss
mine-other-sessions = Teised seansid
mine-no-others = Mujal te sisse logitud ei ole.
mine-current = See seade
mine-suspicious = Palun kontrollige
mine-suspicious-count = { $count ->
    [one] { $count } seanss tundub ebatavaline. Palun kontrollige seda.
   *[other] { $count } seanssi tunduvad ebatavalised. Palun kontrollige neid.
}
mine-hidden = Teie organisatsioon siin seansse ei näita. Sellest seansist saate ikkagi välja logida.
mine-sign-out = Logi välja
mine-sign-out-here = Logi sellest seansist välja
mine-sign-out-others = Logi kõik teised välja
mine-sign-out-everywhere = Logi kõikjalt välja
mine-last-active = Viimati aktiivne
mine-status-active = Praegu aktiivne
mine-status-idle = Jõude
mine-state-ended = Lõppenud

mine-slot-day = Viimase 24 tunni jooksul
mine-slot-week = Viimase 7 päeva jooksul
mine-slot-older = Varem

mine-device-unknown = Tundmatu seade
mine-device-on = { $program }, { $machine }
mine-type-desktop = Arvutid
mine-type-phone = Telefonid
mine-type-tablet = Tahvlid
mine-type-tv = Telerid
mine-type-program = Programmid
mine-type-unknown = Muud seadmed

mine-facts = Üksikasjad
mine-fact-user = Kasutaja
mine-fact-user-id = Kasutaja id
mine-fact-device = Seade
mine-fact-place = Koht
mine-fact-operator = Võrguoperaator
mine-fact-address = Aadress
mine-fact-created = Sisse logitud
mine-fact-last-active = Viimati aktiivne
mine-fact-actions = Päringuid
mine-fact-sign-ins = Sisselogimisi selles seadmes
mine-fact-last-page = Viimane leht
mine-fact-methods = Sisselogimise viis
mine-fact-acr = Sisselogimise tase
mine-fact-authenticated = Isik kinnitatud
mine-fact-idle-end = Lõpeb, kui seda ei kasutata
mine-fact-end = Lõpeb hiljemalt
mine-fact-ended = Lõppes
mine-fact-why = Miks
mine-fact-reason = Põhjus administraatoritele
mine-fact-actor = Lõpetaja
mine-fact-id = Seansi id

mine-method-pwd = parool
mine-method-otp = ühekordne kood
mine-method-sms = tekstisõnum
mine-method-key = turvavõti
mine-method-biometric = nägu või sõrmejälg
mine-method-pin = PIN
mine-method-mfa = mitu tegurit
mine-method-card = kiipkaart

mine-findings = See seanss tundub ebatavaline
mine-advice = Kui see polnud teie:
mine-level-high = Tõsine
mine-level-medium = Ebatavaline
mine-level-low = Teadmiseks
mine-finding-unknown = tundmatu koht
mine-finding-new-device = Te polnud varem selles seadmes sisse loginud.
mine-finding-new-country = Te polnud varem sisse loginud riigist { $country }.
mine-finding-new-city = Te polnud varem sisse loginud linnast { $city }.
mine-finding-new-network = Te polnud varem sellest võrgust sisse loginud.
mine-finding-impossible-travel = Te oleksite pidanud läbima { $distance } km ({ $from } – { $to }) kiiremini kui lennuk.
mine-finding-old-session = { $days ->
    [one] See seanss on { $days } päeva vana.
   *[other] See seanss on { $days } päeva vana.
}
mine-finding-country-changed = See avati riigis { $from } ja seda kasutatakse riigis { $to }.
mine-finding-refresh-token-reused = Kellelgi on selle seansi koopia. Seanss lõpetati.
mine-finding-refresh-token-shared = Seda seanssi kasutavad korraga kaks seadet. Ühel neist võib olla koopia.
mine-finding-other = Selles seansis on midagi ebatavalist.
mine-advice-end-session = Logi see seanss välja
mine-advice-end-all-sessions = Logi kõikjalt välja
mine-advice-change-password = Vaheta parool
mine-advice-second-factor = Võta kasutusele teine tegur
mine-advice-recent-changes = Kontrolli konto viimaseid muudatusi
mine-advice-audit-log = Loe auditilogi

mine-confirm-title = Kas logida see seanss välja?
mine-confirm-of = See on kasutaja { $user } seanss.
mine-confirm-current = Lahkute sellelt lehelt kohe ja peate uuesti sisse logima.
mine-confirm-other = Sellest keeldutakse kohe kõikjal. Mis seal salvestamata jäi, läheb kaotsi.
mine-confirm-ended = See seanss on juba lõppenud. Midagi pole välja logida.
mine-confirm-see = Vaata, kuidas see lõppes
mine-confirm-reason = Põhjus
mine-confirm-reason-hint = Kohustuslik. See jääb auditilogisse ja kasutaja seda ei näe.
mine-confirm-message = Tekst kasutajale
mine-confirm-message-hint = Kasutaja näeb seda pärast väljalogimist.
mine-include-current = Lõpeta ka praegune
mine-others-lead = Kõik seansid peale selle lõpevad kohe.
mine-everywhere-lead = Kõik seansid lõpevad kohe, ka see. Peate uuesti sisse logima.
mine-ending = { $count ->
    [one] Lõpeb { $count } teine seanss
   *[other] Lõpeb { $count } teist seanssi
}
mine-ending-capped = Lõpeb üle { $count } teise seansi
mine-ending-unlisted = { $count ->
    [one] Ja veel { $count }.
   *[other] Ja veel { $count }.
}
mine-done-one = Seanss logiti välja.
mine-done-others = Kõik teised seansid logiti välja.
mine-done-everywhere = Olete kõikjalt välja logitud.

mine-ended-link = Lõppenud seansid
mine-ended-title = Lõppenud seansid
mine-ended-lead = Viimased lõppenud seansid ja miks need lõppesid.
mine-ended-none = Viimasel ajal pole ükski seanss lõppenud.
mine-end-user = Te logisite välja.
mine-end-another-device = Te lõpetasite selle teisest seansist.
mine-end-identity-provider = Teie organisatsioon logis teid välja.
mine-end-administrator = Administraator lõpetas selle.
mine-end-user-disabled = Administraator keelas teie konto.
mine-end-refresh-token-reused = Keegi kasutas selle seansi koopiat, seega see lõpetati.
mine-end-replaced = Uuem sisselogimine samas seadmes võttis selle koha.
mine-end-recovery = Pärast sisselogimisteenuse taastamist logiti kõik välja.
mine-end-policy = See ei vastanud enam teie organisatsiooni seadetele.
mine-end-idle = Seda ei kasutatud liiga kaua.
mine-end-password-changed = Teie parool vahetati.
mine-end-second-factor-changed = Teie teine tegur vahetati.
mine-end-session-limit = Seansse oli liiga palju ja see oli vanim.
mine-end-expired = Selle aeg sai läbi.
mine-end-unknown = See on lõppenud.

mine-signed-out-title = Olete välja logitud
mine-signed-out-plain = Selles seadmes pole seanssi. Logige sisse, et oma seansse näha.
mine-signed-in-title = Olete sisse logitud
mine-signed-in = See seanss pole lõppenud.
mine-message = Teile jäetud sõnum:
mine-leave = Lahku
mine-next-sign-in = Jätkamiseks logige uuesti sisse.
mine-next-copied = Logige uuesti sisse ja vahetage parool. Seejärel logige välja iga seanss, mida te ei tunne.
mine-next-disabled = Praegu te sisse logida ei saa. Küsige oma organisatsioonilt.
mine-next-another-device = Kui see polnud teie, logige sisse ja vahetage parool.
mine-next-administrator = Võite uuesti sisse logida, kui teie organisatsioon ei ütle teisiti.
