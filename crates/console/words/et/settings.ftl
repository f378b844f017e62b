# Seaded: meeskonna reeglid.

settings-title = Seaded
settings-lead = Kui kaua püsivad { $tenant } inimesed sisse logituna ja mida nad võivad oma seanssidega teha.
settings-read-only = Te näete seadeid, kuid ei saa neid muuta. Administraator saab neid muuta.
settings-saved = Seaded on salvestatud ja kehtivad. Seansid, mis neid rikuvad, lõpevad minuti jooksul.
settings-same = Miski ei erine kehtivatest seadetest, seega pole midagi salvestada.
settings-wrong = Parandage need väljad. Midagi ei muudetud.
settings-source = Need seaded pärinevad standardist: { $source }
settings-source-own = Need seaded valiti käsitsi, mitte standardi järgi.
settings-caption = Kehtivad seaded
settings-column-setting = Seade
settings-column-value = Väärtus

settings-idle = Jõudeoleku aeg
settings-idle-hint = Seanss, mida keegi nii kaua ei kasuta, lõpeb.
settings-idle-1d = 1 päev
settings-idle-7d = 7 päeva
settings-idle-30d = 30 päeva
settings-idle-never = Mitte kunagi (ei soovitata)
settings-idle-never-why = Valikuga „mitte kunagi“ kestab unustatud seanss kadunud seadmes oma eluea lõpuni.
settings-idle-own = Muu aeg
settings-lifetimes = Eluead
settings-remember = Inimesed võivad valida „jäta mind meelde“
settings-remember-lifetime = Eluiga valikuga „jäta mind meelde“
settings-lifetime = Eluiga ilma selleta
settings-longest = Iga seansi pikim eluiga
settings-longest-hint = Ükskõik kui palju seda kasutatakse. Kaks teist eluiga ei tohi olla pikemad.
settings-token = Juurdepääsulubade eluiga
settings-token-hint = Tühi: nagu paigalduses.
settings-limit = Ühe inimese seansid
settings-sessions-max = Korraga kõige rohkem nii palju
settings-sessions-max-hint = 1 kuni 10 000. Tühi: piirangut ei ole.
settings-at-limit = Sisselogimine piiri juures
settings-at-limit-oldest = lõpetab vanima seansi
settings-at-limit-refuse = lükatakse tagasi
settings-people = Inimesed ja nende oma seansid
settings-users-see = Inimesed võivad oma seansse näha ja lõpetada
settings-last-page = Jäta meelde iga seansi viimane leht
settings-last-page-hint = Administraatorid ja inimene ise näevad siis, mis leht viimati avati. Aadressi osa pärast märki „?“ ei hoita kunagi.
settings-recent = Teiste seansside lõpetamiseks peab sisselogimine olema värskem kui
settings-recent-hint = Ka administraatoritele ja nende seadete muutmiseks. Tühi: igal ajal.
settings-sign-in = Sisselogimine
settings-acr = Nõutav sisselogimise tugevus (acr)
settings-acr-hint = Üks väärtus real, nagu teie sisselogimisleht selle saadab. Tühi: ükskõik milline. Muu väärtusega seansid lõpevad.
settings-shared = Lõpeta seanss, kui kaks seadet esitavad selle uuendusloa
settings-shared-hint = See on kopeeritud või vahetas seade kahe katse vahel võrku.
settings-findings = Märgi kahtlaseks
settings-finding-1 = Uus seade
settings-finding-2 = Uus riik
settings-finding-3 = Uus linn
settings-finding-4 = Uus võrk
settings-finding-5 = Võimatu teekond
settings-finding-6 = Väga vana seanss
settings-finding-7 = Riigi vahetus
settings-finding-8 = Uuesti kasutatud uuendusluba
settings-finding-9 = Uuendusluba kahes kliendis
settings-amount = Arv
settings-unit = Ühik
settings-unit-seconds = sekundit
settings-unit-minutes = minutit
settings-unit-hours = tundi
settings-unit-days = päeva
settings-check = Vaata, mis muutub
settings-reset = Võta minu muudatused tagasi

settings-value-never = Mitte kunagi
settings-value-any = Ükskõik milline
settings-value-any-time = Igal ajal
settings-value-no-limit = Piirangut ei ole
settings-value-installation = Nagu paigalduses
settings-value-yes = Jah
settings-value-no = Ei
settings-value-none = Puudub
settings-stricter = Rangem kasutajale { $user }
settings-stricter-remember = ilma „jäta mind meelde“
settings-stricter-value = { $setting }: { $value }
settings-stricter-hint = Üksikute kasutajate rangemad väärtused seatakse API kaudu ja jäävad samaks.

settings-presets = Standardid
settings-presets-hint = Standard asendab jõudeoleku aja ja pikima eluea ning lühendab teisi eluigasid, et need mahuksid. Kõik muu jääb samaks.
settings-presets-caption = Standardid ja mida need nõuavad
settings-preset-name = Standard
settings-preset-source = Allikas
settings-preset-two-factors = Määrake ka „nõutav sisselogimise tugevus“: see standard nõuab kahte tegurit.
settings-preset-use = Vaata, mida { $name } muudaks
settings-preset-idle-none = nagu on

settings-confirm-title = Kas salvestada need seaded?
settings-confirm-changes = Mis muutub
settings-confirm-before = Praegu
settings-confirm-after = Uus
settings-preview =
    { $count ->
        [0] Ükski seanss selle tõttu ei lõpe.
        [one] Üks seanss lõpeb selle tõttu.
       *[other] { $count } seanssi lõpeb selle tõttu.
    }
settings-preview-capped =
    { $count ->
        [0] Meeskonnal on liiga palju seansse, et kõiki vaadata. Ükski uusimatest selle tõttu ei lõpe.
       *[other] Vähemalt { $count } seanssi lõpeb selle tõttu.
    }
settings-preview-sample = Neist uusimad
settings-preview-user = Kasutaja
settings-preview-device = Seade
settings-preview-last-active = Viimati aktiivne
settings-preview-later = Seansid, mis hiljem liiga kaua jõude on, lõpevad siis.
settings-reason = Põhjus
settings-reason-hint = Auditilogi jaoks. Kõige rohkem 1024 baiti.
settings-save = Salvesta seaded
settings-back = Tagasi ilma salvestamata
settings-unknown-device = Tundmatu seade

settings-conflict-title = Keegi teine muutis seadeid
settings-conflict-why = Neid muudeti pärast seda, kui te need avasite. Teie muudatustest ei salvestatud midagi. Võrrelge mõlemat versiooni ja valige.
settings-conflict-by = Muutis { $actor }, { $time }: { $reason }
settings-conflict-caption = Milles kaks versiooni erinevad
settings-conflict-theirs = Kehtib praegu
settings-conflict-yours = Teie oma
settings-conflict-same = Mõlemad versioonid on ühesugused. Midagi ei ole enam salvestada.
settings-conflict-use-yours = Jätka minu omaga
settings-conflict-use-theirs = Jäta kehtiv

settings-wrong-idle = Jõudeoleku aeg: sisestage täisarv, 1 sekund kuni 3660 päeva.
settings-wrong-lifetime = Eluiga ilma „jäta mind meelde“: sisestage täisarv, 1 sekund kuni pikim eluiga.
settings-wrong-remember = Eluiga valikuga „jäta mind meelde“: sisestage täisarv, 1 sekund kuni pikim eluiga.
settings-wrong-longest = Pikim eluiga: sisestage täisarv, 1 sekund kuni 3660 päeva.
settings-wrong-token = Juurdepääsulubade eluiga: sisestage täisarv, vähemalt 1 sekund ja mitte rohkem, kui paigaldus lubab.
settings-wrong-sessions-max = Ühe inimese seansid: sisestage 1 kuni 10 000 või jätke tühjaks.
settings-wrong-at-limit = Sisselogimine piiri juures: valige, mida see teeb.
settings-wrong-acr = Nõutav sisselogimise tugevus: kõige rohkem 16 väärtust, igaüks kuni 256 baiti, ilma juhtmärkideta.
settings-wrong-recent = Värske sisselogimine: sisestage täisarv, 1 sekund kuni 3660 päeva, või jätke tühjaks.
settings-wrong-users = Üksiku kasutaja rangem väärtus oleks nendest seadetest lõdvem. Muutke see enne API kaudu.
settings-wrong-preset = Seda standardit ei tunta.
settings-wrong-reason = Sisestage põhjus, kõige rohkem 1024 baiti, ilma juhtmärkideta.
settings-wrong-other = Autoriteet lükkas väärtuse tagasi ({ $field }).
settings-gates = Väravad: kus neid seadeid jõustatakse
