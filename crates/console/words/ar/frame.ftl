# ما تحتويه كل صفحة.

frame-product = Portcullis
frame-skip = انتقل إلى المحتوى
frame-navigation = القائمة الرئيسية
frame-signed-in-as = مسجّل الدخول باسم
frame-zone = الأوقات بتوقيت { $zone }.
frame-language = اللغة
frame-theme = المظهر
frame-theme-auto = مثل النظام
frame-theme-light = فاتح
frame-theme-dark = داكن
frame-apply = تطبيق

frame-room-mine = جلساتي
frame-room-team = الفريق
frame-room-settings = الإعدادات
frame-room-api-sessions = جلسات API
frame-room-audit = سجل التدقيق
frame-room-gates = البوابات

frame-cancel = إلغاء
frame-back = رجوع
frame-refresh = تحديث
frame-next-page = الصفحة التالية
frame-first-page = الصفحة الأولى
frame-unknown = غير معروف
frame-none = لا شيء

frame-time-now = الآن
frame-time-minutes-ago = { $count ->
    [one] قبل دقيقة واحدة
    [two] قبل دقيقتين
    [few] قبل { $count } دقائق
   *[other] قبل { $count } دقيقة
}
frame-time-hours-ago = { $count ->
    [one] قبل ساعة واحدة
    [two] قبل ساعتين
    [few] قبل { $count } ساعات
   *[other] قبل { $count } ساعة
}
frame-time-days-ago = { $count ->
    [one] قبل يوم واحد
    [two] قبل يومين
    [few] قبل { $count } أيام
   *[other] قبل { $count } يومًا
}
frame-time-in-minutes = { $count ->
    [one] خلال دقيقة واحدة
    [two] خلال دقيقتين
    [few] خلال { $count } دقائق
   *[other] خلال { $count } دقيقة
}
frame-time-in-hours = { $count ->
    [one] خلال ساعة واحدة
    [two] خلال ساعتين
    [few] خلال { $count } ساعات
   *[other] خلال { $count } ساعة
}
frame-time-in-days = { $count ->
    [one] خلال يوم واحد
    [two] خلال يومين
    [few] خلال { $count } أيام
   *[other] خلال { $count } يومًا
}
frame-length-seconds = { $count ->
    [one] ثانية واحدة
    [two] ثانيتان
    [few] { $count } ثوانٍ
   *[other] { $count } ثانية
}
frame-length-minutes = { $count ->
    [one] دقيقة واحدة
    [two] دقيقتان
    [few] { $count } دقائق
   *[other] { $count } دقيقة
}
frame-length-hours = { $count ->
    [one] ساعة واحدة
    [two] ساعتان
    [few] { $count } ساعات
   *[other] { $count } ساعة
}
frame-length-days = { $count ->
    [one] يوم واحد
    [two] يومان
    [few] { $count } أيام
   *[other] { $count } يومًا
}

frame-receipt = { $gates ->
    [0] لا توجد بوابة متصلة. ستُرفض في أي بوابة تتصل.
    [one] أغلقتها { $dropped } من { $gates } بوابة، بعد { $milliseconds } مللي ثانية من الأمر.
   *[other] أغلقتها { $dropped } من { $gates } بوابات، بعد { $milliseconds } مللي ثانية من الأمر.
}
frame-receipt-complete = { $gates ->
    [0] لا توجد بوابة متصلة. ستُرفض في أي بوابة تتصل.
    [one] أغلقتها البوابة خلال { $milliseconds } مللي ثانية.
   *[other] أغلقتها كل البوابات وعددها { $gates } خلال { $milliseconds } مللي ثانية.
}

frame-receipt-all = { $gates ->
    [0] لا توجد بوابة متصلة. ستُرفض في أي بوابة تتصل.
    [one] أغلقتها البوابة.
   *[other] أغلقتها كل البوابات وعددها { $gates }.
}

frame-problem-sign-in = سجّل الدخول من جديد
frame-problem-sign-in-advice = لم تعد جلستك صالحة أو انتهت مدتها. لم يتغيّر شيء. سجّل الدخول وستعود إلى هذه الصفحة.
frame-problem-sign-in-link = تسجيل الدخول
frame-problem-recent = أكّد أنك صاحب الحساب
frame-problem-recent-advice = تطلب مؤسستك تسجيل دخول حديثًا قبل ذلك. لم يتغيّر شيء. سجّل الدخول من جديد وستعود إلى هذه الصفحة.
frame-problem-ended = انتهت هذه الجلسة
frame-problem-ended-advice = لم يتغيّر شيء. الصفحة التالية تبيّن كيف انتهت الجلسة وما يمكنك فعله.
frame-problem-ended-link = اعرف السبب
frame-problem-denied = لا يحق لك ذلك
frame-problem-denied-advice = دورك لا يشمل ذلك. لم يتغيّر شيء. اسأل مسؤولًا في مؤسستك.
frame-problem-forbidden = مؤسستك لا تسمح بذلك
frame-problem-forbidden-advice = يمنعه أحد إعدادات مؤسستك. لم يتغيّر شيء. اسأل مسؤولًا.
frame-problem-foreign = جاء هذا الطلب من موقع آخر
frame-problem-foreign-advice = لم يتغيّر شيء. إن أردت ذلك فافعله في صفحة من صفحات هذه الوحدة.
frame-problem-outdated = هذا النموذج قديم
frame-problem-outdated-advice = يخص جلسة أخرى أو فُتح قبل تحديث. لم يتغيّر شيء. افتح الصفحة من جديد وكرّر ذلك.
frame-problem-not-found = لا يوجد شيء هنا
frame-problem-not-found-advice = العنوان خاطئ، أو أُزيل ما كان هنا، أو ليس لك أن تراه.
frame-problem-method = لا يوجد نموذج كهذا في هذا العنوان
frame-problem-method-advice = افتح الصفحة أولًا واستخدم أزرارها.
frame-problem-invalid = لا يمكن فهم هذا
frame-problem-invalid-advice = قيمة حقل أو عنوان غير مناسبة. لم يتغيّر شيء. ارجع وصحّحها وأرسلها من جديد.
frame-problem-too-large = النص طويل جدًا
frame-problem-too-large-advice = لم يتغيّر شيء. ارجع واختصره وأرسله من جديد.
frame-problem-conflict = سبقك شخص آخر
frame-problem-conflict-advice = تغيّر منذ أن فتحت الصفحة. لم يتغيّر شيء الآن. افتح الصفحة من جديد لترى حاله.
frame-problem-old-page = تغيّرت هذه القائمة
frame-problem-old-page-advice = هذه الصفحة من قائمة سابقة. ابدأ بالصفحة الأولى.
frame-problem-last-administrator = يجب أن يبقى أحدهم مسؤولًا
frame-problem-last-administrator-advice = ستبقى مؤسستك بلا مسؤول. لم يتغيّر شيء. عيّن شخصًا آخر مسؤولًا أولًا.
frame-problem-own-account = ليس لحسابك أنت
frame-problem-own-account-advice = لا يستطيع المسؤول تعطيل نفسه ولا تغيير أدواره. لم يتغيّر شيء. اطلب ذلك من مسؤول آخر.
frame-problem-too-many = طلبات كثيرة جدًا
frame-problem-too-many-advice = لم يتغيّر شيء. انتظر بضع ثوانٍ وحاول من جديد.
frame-problem-too-slow = يستغرق هذا البحث وقتًا طويلًا
frame-problem-too-slow-advice = لم يتغيّر شيء. ضيّقه، مثلًا باسم أو بمدة أقصر.
frame-problem-away = خدمة الدخول لا تستجيب
frame-problem-away-advice = لا يمكن الوصول إليها الآن. تبقى الجلسات كما هي. تحاول هذه الصفحة من جديد كل بضع ثوانٍ.
frame-problem-away-form-advice = لا تستجيب الآن، فلا يُعرف إن كان التغيير قد تم. افتح الصفحة من جديد لترى. لا ضرر من تكراره.
frame-problem-again-link = حاول من جديد
frame-problem-internal = حدث خطأ ما
frame-problem-internal-advice = هذا خطأ في وحدة التحكم أو في خدمة الدخول، وقد سُجّل. انظر ما الذي تغيّر قبل أن تكرره.
frame-problem-home-link = إلى جلساتي
